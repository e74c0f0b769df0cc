"""The options of the commands that ask conductors, in one place: `run` must know their variables.

Invariant: an option of one name means the same in every command, because it is one environment
variable.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import click

from conductor.cli.addresses import parse_addresses
from conductor.cli.options import EnvironmentOption, option_value
from conductor.config import Address
from conductor.core.encoding import DIGEST_BYTES
from conductor.errors import ConfigError

DEFAULT_SERVER = "127.0.0.1:18080"
TIMEOUT_MS_MAX = 10 * 60 * 1000
RECORDS_SHOWN_MAX = 1_000_000

ServerLists = tuple[tuple[Address, ...], ...]
"""What `--server` gives: a list each time that it is there."""


def named_servers(lists: ServerLists) -> list[Address]:
    """The servers to ask, each once, in the order in which they were named."""
    return list(dict.fromkeys(itertools.chain.from_iterable(lists)))


def parse_cluster_id(text: str) -> bytes:
    """A cluster id, 64 hex digits; ConfigError when it is none."""
    try:
        digest = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        digest = b""
    if len(digest) != DIGEST_BYTES:
        raise ConfigError(f"{text!r} is no cluster id: it has {2 * DIGEST_BYTES} hex digits")
    return digest


def flag(name: str, meaning: str, *more: str) -> EnvironmentOption:
    """An option that is there or not; `more`: short names."""
    return EnvironmentOption(
        [*more, name], is_flag=True, default=False, default_text="false", meaning=meaning
    )


def timeout_option(default_ms: int) -> EnvironmentOption:
    """`--timeout-ms`, of every single call."""
    return EnvironmentOption(
        ["--timeout-ms"],
        type=click.IntRange(1, TIMEOUT_MS_MAX),
        default=default_ms,
        default_text=str(default_ms),
        metavar="N",
        meaning="How long to wait for an answer.",
    )


SERVER = EnvironmentOption(
    ["--server"],
    type=option_value(parse_addresses),
    multiple=True,
    default=[DEFAULT_SERVER],
    default_text=DEFAULT_SERVER,
    metavar="HOST:PORT",
    meaning="The gRPC address of a conductor. May be given more than once.",
)

OUTPUT = EnvironmentOption(
    ["-o", "--output"],
    type=click.Choice(("table", "json"), case_sensitive=False),
    default="table",
    default_text="table",
    meaning="A table for people, or JSON for programs.",
)

PAYLOAD_OUTPUT = EnvironmentOption(
    ["-o", "--output"],
    type=click.Choice(("json", "ssz", "table"), case_sensitive=False),
    default="json",
    default_text="json",
    meaning="op-node's envelope as JSON, its SSZ bytes, or a table of what it is.",
)

YES = flag("--yes", "Do not ask: go ahead.", "-y")

CLIENT_OPTIONS = (SERVER, OUTPUT, timeout_option(3000))
"""Those that nearly all of them share."""

STATUS_OPTIONS = (
    *CLIENT_OPTIONS,
    flag("--all", "Also ask the members that the named servers know of."),
    flag("--watch", "Ask again and again, until Ctrl-C.", "-w"),
    EnvironmentOption(
        ["--interval-ms"],
        type=click.IntRange(10, TIMEOUT_MS_MAX),
        default=1000,
        default_text="1000",
        metavar="N",
        meaning="How long --watch waits after an answer before it asks again.",
    ),
)

HISTORY_OPTIONS = (
    *CLIENT_OPTIONS,
    EnvironmentOption(
        ["--last"],
        type=click.IntRange(1, RECORDS_SHOWN_MAX),
        default=10,
        default_text="10",
        metavar="N",
        meaning="How many records to show of each server, the newest ones.",
    ),
)

STEERING_OPTIONS = (*CLIENT_OPTIONS, YES)

TRANSFER_OPTIONS = (
    SERVER,
    OUTPUT,
    # A leader takes up to ten seconds: it drains, and brings its successor up to date.
    timeout_option(15_000),
    YES,
    flag("--force", "Also to a voter that says it is not fit to lead."),
)

PAYLOAD_OPTIONS = (
    SERVER,
    PAYLOAD_OUTPUT,
    timeout_option(3000),
    EnvironmentOption(
        ["--out"],
        type=click.Path(dir_okay=False, path_type=Path),
        default_text="stdout",
        metavar="FILE",
        meaning="Where to write. A file that is there is replaced, once all of it has come.",
    ),
    flag("--consistent", "Have a quorum confirm that this is the newest; the leader alone can."),
    flag("--certificate", "Add the newest certificate and what is needed to check it."),
    flag("--verify", "Check the certificate here, and write nothing unless it proves the payload."),
    EnvironmentOption(
        ["--cluster-id"],
        type=option_value(parse_cluster_id),
        default_text="",
        metavar="HEX",
        meaning="What --verify trusts instead of the server's word: the cluster's id.",
    ),
)

OPTIONS: dict[str, Sequence[EnvironmentOption]] = {
    "status": STATUS_OPTIONS,
    "members": CLIENT_OPTIONS,
    "history": HISTORY_OPTIONS,
    "payload": PAYLOAD_OPTIONS,
    "transfer": TRANSFER_OPTIONS,
    "pause": STEERING_OPTIONS,
    "resume": STEERING_OPTIONS,
    "override-leader": STEERING_OPTIONS,
}
"""By command, in the order of the help."""

CLIENT_VARIABLES = frozenset(
    option.variable for option in itertools.chain.from_iterable(OPTIONS.values())
)
