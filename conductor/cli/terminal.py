"""Shows words and tables to people: they stand without colour, plain where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conductor.cli.words import printable

PLAIN_WIDTH = 1000
"""Columns where there is no terminal: enough to wrap nothing."""


def stdout_console() -> Console:
    """Prints to stdout."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    return console


def text(words: str, style: str = "") -> Text:
    """Words that may come from a server: what is not printable is shown as an escape."""
    return Text(printable(words), style=style)


def table_of(
    console: Console, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]
) -> Table:
    """A table with a line for a terminal, without for everything else."""
    plain = not console.is_terminal
    table = Table(*columns, box=None if plain else box.SIMPLE_HEAD, pad_edge=not plain)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else text(cell) for cell in row))
    return table


def yes_or_no(good: bool) -> Text:
    """`good` in a word; no is red."""
    return text("yes", "green") if good else text("no", "red")
