"""`op-conductor run`: make the configuration, hand it to the node, pass on its exit code."""

from __future__ import annotations

import os
import socket
from typing import Any

import click

from conductor.cli.client_options import CLIENT_VARIABLES
from conductor.cli.environment import unknown_variables
from conductor.cli.migrate_options import MIGRATE_VARIABLES
from conductor.cli.node_config import NodeSettings, node_config
from conductor.cli.node_options import NODE_OPTIONS
from conductor.cli.options import NodeCommand
from conductor.errors import ConfigError

KNOWN_VARIABLES = (
    CLIENT_VARIABLES | MIGRATE_VARIABLES | {option.variable for option in NODE_OPTIONS}
)

_EXAMPLES = """\b
Examples:
  A node on its own, with a key for development:
    op-conductor --identity 1
  One of three, started alike on each of them:
    op-conductor --bind-addr 0.0.0.0:8080 \\
      --peers http://seq-1:8080,http://seq-2:8080,http://seq-3:8080
  From a file, but paused:
    op-conductor --config config.toml --paused
"""


@click.command(cls=NodeCommand, params=list(NODE_OPTIONS), epilog=_EXAMPLES)
def run(**values: Any) -> int:
    """Run a conductor on this machine, until SIGTERM or Ctrl-C.

    Every option is also an environment variable, shown in brackets, and a key of the --config
    file. The command line comes before the environment, and that before the file.
    """
    notes = unknown_variables(os.environ, KNOWN_VARIABLES)
    try:
        config = node_config(NodeSettings(**values), host_name=socket.gethostname(), notes=notes)
    except ConfigError:
        # No node will start to log them, and a misspelt variable may be the reason.
        for note in notes:
            click.echo(f"warning: {note}", err=True)
        raise
    # Read when gRPC is imported. Else any client could make it write to stderr, past our log.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # Imported here so that `--help` waits for neither gRPC nor aiohttp.
    from conductor.app import run_node

    return run_node(config)
