"""`op-conductor devnet`: read the options, run it, print the verdict, tidy up.

Invariant: it removes nothing but the temporary directory that it made itself, and that only when
there is nothing left to look into.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from conductor.devnet.scenario import Outcome
    from conductor.devnet.views import Settings

NODES_MAX = 9
PAYLOADS_MAX = 1_000_000
BLOCK_TIME_MS_MAX = 60_000
# With the rest of the envelope this is still below the conductors' limit of 16 MiB.
PAYLOAD_BYTES_MAX = 15 * 2**20

_EXAMPLES = """\b
Examples:
  op-conductor devnet
  op-conductor devnet --nodes 5 --payloads 300 --rounds 6 --seed 7
  op-conductor devnet --forever
"""


@click.command(epilog=_EXAMPLES)
@click.option("--nodes", type=click.IntRange(1, NODES_MAX), default=3, help="Conductors to run.")
@click.option(
    "--payloads",
    type=click.IntRange(1, PAYLOADS_MAX),
    default=50,
    help="Payloads to certify before the end.",
)
@click.option(
    "--block-time-ms",
    type=click.IntRange(1, BLOCK_TIME_MS_MAX),
    default=200,
    help="The time from one block to the next.",
)
@click.option(
    "--payload-bytes",
    type=click.IntRange(1, PAYLOAD_BYTES_MAX),
    default=20_000,
    help="The size of a block's transactions together.",
)
@click.option(
    "--rounds",
    type=click.IntRange(0),
    default=1,
    help="How often a node is killed and revived: first the leader, then any.",
)
@click.option(
    "--seed", type=int, default=1, help="Of the blocks' contents, and of who is killed when."
)
@click.option(
    "--forever",
    is_flag=True,
    help="Kill nobody and go on until Ctrl-C; nodes that you kill are started again.",
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="An empty directory for stores, logs and the journal. [default: a temporary one, removed "
    "when all went well]",
)
@click.option("--keep", is_flag=True, help="Do not remove the temporary directory.")
@click.option("--plain", is_flag=True, help="Lines instead of a live table.")
def devnet(*, directory: Path | None, keep: bool, plain: bool, **values: Any) -> int:
    """Run a cluster on this machine with simulated sequencers, kill its leader, and judge it.

    Each conductor is a process with a sequencer that treats it as op-node does. At the end the
    blocks that were gossiped are held against the stores of all nodes. Exits with 0 when none was
    lost or forked, else with 1 and the place of the logs.
    """
    # Imported here so that `--help` does not wait for aiohttp and the store.
    from conductor.devnet.views import Settings

    place = _empty_directory(directory)
    click.echo(f"logs, stores and the journal are in {place}")
    outcome = _run(Settings(directory=place, **values), plain=plain)
    if outcome.failure is not None:
        click.echo(f"failed: {outcome.failure}")
    elif outcome.interrupted:
        click.echo("interrupted before the end of the story")
    for line in outcome.verdict.lines():
        click.echo(line)
    if directory is None and outcome.passed and not keep:
        shutil.rmtree(place)
    else:
        click.echo(f"everything is kept in {place}")
    return outcome.exit_code


def _run(settings: Settings, *, plain: bool) -> Outcome:
    from rich.console import Console

    from conductor.devnet.scenario import run_devnet
    from conductor.devnet.table import LiveScreen, PlainScreen

    console = Console()
    with contextlib.ExitStack() as stack:
        if plain or not console.is_terminal:
            return asyncio.run(run_devnet(settings, PlainScreen()))
        screen = stack.enter_context(LiveScreen(console))
        return asyncio.run(run_devnet(settings, screen))


def _empty_directory(wanted: Path | None) -> Path:
    """An empty directory, made if need be; BadParameter when the wanted one holds something."""
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="op-conductor-devnet-"))
    wanted.mkdir(parents=True, exist_ok=True)
    if any(wanted.iterdir()):
        raise click.BadParameter(f"{wanted} is not empty", param_hint="--dir")
    return wanted.absolute()
