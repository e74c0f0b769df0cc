"""What the reading commands have in common: which directory, how long to wait, and live copies.

Invariant: a live copy has the folders' names of the original, since a folder's name is a server id;
it is gone when the command ends, however it ends.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raft_state.cli.options import GO_BOOLEAN, Command, environment_option
from raft_state.cli.output import printable, progress

if TYPE_CHECKING:
    from rich.text import Text

PLAIN_WIDTH = 1000
"""Columns where there is no terminal: enough to wrap nothing."""


class _Seconds(click.FloatRange):
    """A range that `nan`, which is neither below nor above anything, is not in either."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return float(seconds)


lock_timeout_option = environment_option(
    "--lock-timeout",
    type=_Seconds(min=0, max=3600),
    metavar="SECONDS",
    default=0.0,
    default_text="0",
    meaning="How long to wait for a database that a conductor has in use.",
)
"""`--lock-timeout`, passed as `lock_timeout`."""


def reading_options(command: Command) -> Command:
    """Add `--state-dir`, `--lock-timeout` and `--live`."""
    for option in (
        environment_option(
            "--live",
            **GO_BOOLEAN,
            default_text="false",
            meaning="Read a copy instead of the files themselves, so that conductors may run. It "
            "is made without stopping them, in $TMPDIR, and needs as much room there.",
        ),
        lock_timeout_option,
        environment_option(
            "--state-dir",
            type=click.Path(path_type=Path),
            metavar="DIR",
            required=True,
            meaning="Required: one node's directory, or the folder with those of a cluster.",
        ),
    ):
        command = option(command)
    return command


@contextmanager
def readable(state_dir: Path, *, live: bool) -> Iterator[Path]:
    """The directory to read: itself, or with `live` a copy that no conductor writes to."""
    if not live:
        yield state_dir
        return
    # Imported here so that `--help` waits for nothing.
    from raft_state.node import is_node_directory, node_directories, server_id_of

    directories = node_directories(state_dir)
    with tempfile.TemporaryDirectory(prefix="op-conductor-init-") as temporary:
        # A node's folder keeps its name; so does the folder of a cluster, for the report.
        root = Path(temporary) / (server_id_of(state_dir) or "state")
        is_node = is_node_directory(state_dir)
        copies: dict[Path, Path] = {}
        for directory in directories:
            target = root if is_node else root / server_id_of(directory)
            copy = copies.setdefault(directory.resolve(), target)
            if copy == target:
                _copy_node(directory, target)
            else:
                # Two names of one directory: whoever reads it says so.
                target.symlink_to(copy)
        yield root


def _copy_node(directory: Path, target: Path) -> None:
    """Copy the databases; what no copy can be made of, and the snapshots, are linked."""
    from conductor.errors import NotFound
    from raft_state.bolt import DatabaseDamaged, copy_database
    from raft_state.node import LOG_FILE, SNAPSHOTS, STABLE_FILE

    target.mkdir(parents=True)
    for name in (LOG_FILE, STABLE_FILE):
        source = (directory / name).absolute()
        try:
            with progress(f"copying {printable(directory.name)}/{name}") as told:
                copy_database(source, target / name, progress=told)
        except (NotFound, DatabaseDamaged):
            # Whoever reads it says what is wrong. A link to nothing reads as nothing.
            (target / name).symlink_to(source)
    (target / SNAPSHOTS).symlink_to((directory / SNAPSHOTS).absolute())


def plain_text(text: str, style: str = "") -> Text:
    """Text for a table, printable whatever it holds."""
    from rich.text import Text

    return Text(printable(text), style=style)
