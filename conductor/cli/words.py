"""Says things in plain words, on stderr, and gives programs their JSON; loads nothing heavy.

Invariant: what servers say of themselves cannot steer the terminal.
"""

from __future__ import annotations

import json
from typing import Any

import click


def printable(words: str) -> str:
    """`words` with everything that could move a cursor, or is no character at all, escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)


def say(words: str) -> None:
    """Lines on stderr for people, beside what is on stdout."""
    click.echo("\n".join(printable(line) for line in words.split("\n")), err=True)


def say_error(error: object) -> None:
    """An `error:` on stderr."""
    say(f"error: {error}")


def print_json(document: Any, *, in_one_line: bool = False) -> None:
    """The answer for programs, on stdout."""
    click.echo(json.dumps(document, indent=None if in_one_line else 2))
