"""The options that client commands share: whom to ask, how long to wait, how to answer."""

from __future__ import annotations

import click

from conductor.cli.addresses import parse_addresses
from conductor.cli.options import EnvironmentOption, option_value

DEFAULT_SERVER = "127.0.0.1:18080"
TIMEOUT_MS_MAX = 10 * 60 * 1000

CLIENT_OPTIONS = (
    EnvironmentOption(
        ["--server"],
        type=option_value(parse_addresses),
        multiple=True,
        default=[DEFAULT_SERVER],
        default_text=DEFAULT_SERVER,
        metavar="HOST:PORT",
        meaning="The gRPC address of a conductor. May be given more than once.",
    ),
    EnvironmentOption(
        ["-o", "--output"],
        type=click.Choice(("table", "json"), case_sensitive=False),
        default="table",
        default_text="table",
        meaning="A table for people, or JSON for programs.",
    ),
    EnvironmentOption(
        ["--timeout-ms"],
        type=click.IntRange(1, TIMEOUT_MS_MAX),
        default=3000,
        default_text="3000",
        metavar="N",
        meaning="How long to wait for an answer.",
    ),
)

CLIENT_VARIABLES = frozenset(option.variable for option in CLIENT_OPTIONS)
