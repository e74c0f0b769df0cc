"""The options of `migrate`, in one place: `run` must know their variables."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import click

from conductor.cli.client_options import OUTPUT, flag
from conductor.cli.options import EnvironmentOption, option_value
from conductor.config import parse_server_id
from conductor.errors import ConfigError

_DIRECTORY = click.Path(path_type=Path)


def parse_nodes(text: str) -> Mapping[str, str]:
    """`id=host:port,...` as addresses by server id; ConfigError for what is none."""
    addresses: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        server_id, separator, address = item.rpartition("=")
        if not separator or not address:
            raise ConfigError(f"{item!r} is not id=host:port, such as sequencer-1=seq-1:50050")
        if addresses.setdefault(parse_server_id(server_id), address) != address:
            raise ConfigError(f"{server_id!r} has two addresses")
    return addresses


DRY_RUN = flag("--dry-run", "Look at everything and say what would be made, but make nothing.")

FROM_RAFT_OPTIONS = (
    EnvironmentOption(
        ["--state-dir"],
        type=_DIRECTORY,
        required=True,
        default_text="",
        metavar="DIR",
        meaning="Required. The node's directory of the Raft state (it holds raft-log.db), or the "
        "one above it if --server-id says which is this server's. Nothing in it is changed.",
    ),
    EnvironmentOption(
        ["--data-dir"],
        type=_DIRECTORY,
        required=True,
        default_text="",
        metavar="DIR",
        meaning="Required. Where the store is to be: the --data-dir of `op-conductor run`.",
    ),
    EnvironmentOption(
        ["--server-id"],
        type=option_value(parse_server_id),
        default_text="the name of the node's directory",
        metavar="NAME",
        meaning="The name of this server in the Raft state.",
    ),
    DRY_RUN,
    OUTPUT,
)

TO_RAFT_OPTIONS = (
    EnvironmentOption(
        ["--data-dir"],
        type=_DIRECTORY,
        required=True,
        multiple=True,
        default_text="",
        metavar="DIR",
        meaning="Required, once for each store of the stopped cluster. All of them if you can, "
        "else so many that no quorum can do without them.",
    ),
    EnvironmentOption(
        ["--output-dir"],
        type=_DIRECTORY,
        required=True,
        default_text="",
        metavar="DIR",
        meaning="Required. Where the nodes' directories are to be, one for each member.",
    ),
    EnvironmentOption(
        ["--nodes"],
        type=option_value(parse_nodes),
        multiple=True,
        default_text="the gRPC addresses of the conductors",
        metavar="ID=HOST:PORT,...",
        meaning="Where Raft listens on each node: op-conductor's consensus address.",
    ),
    flag("--without-quorum", "Go by too few stores: your word that the others are lost for good."),
    DRY_RUN,
    OUTPUT,
)

MIGRATE_VARIABLES = frozenset(
    option.variable for option in itertools.chain(FROM_RAFT_OPTIONS, TO_RAFT_OPTIONS)
)
