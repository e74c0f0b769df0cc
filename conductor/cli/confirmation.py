"""Asks before something is changed.

Invariant: nothing is changed without a yes: of a person at a terminal, or `--yes` beforehand.
"""

from __future__ import annotations

import sys

import click

from conductor.cli.words import printable
from conductor.errors import Refused


def check_can_ask(*, yes: bool) -> None:
    """UsageError when there is neither a --yes nor somebody to ask. To be called first of all."""
    if not yes and not sys.stdin.isatty():
        raise click.UsageError(
            "there is no terminal to ask on: add --yes (or OP_CONDUCTOR_YES=true) to go ahead"
        )


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless `yes`; Refused when the answer is no."""
    if not yes and not click.confirm(printable(question), err=True):
        raise Refused("not confirmed: nothing was changed")
