"""How commands answer: text that a terminal can be trusted with, JSON, and progress on stderr.

Invariant: stdout carries the answer and nothing else. Whatever came out of a file is made printable
first, so that no server id or address can move the cursor or fail to encode.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from raft_state.cli.options import Command, environment_option

Progress = Callable[[int, int], None]
"""Called with what is done and the total, in any unit."""


def output_option(command: Command) -> Command:
    """Add `-o/--output table|json`, passed as `output`."""
    return environment_option(
        "-o",
        "--output",
        type=click.Choice(("table", "json"), case_sensitive=False),
        default="table",
        default_text="table",
        meaning="Text for people, or JSON for programs.",
    )(command)


def print_json(report: Any) -> None:
    """Print a report, whatever `as_json` takes, as one JSON document on stdout."""
    click.echo(json.dumps(as_json(report), indent=2))


def as_json(value: Any) -> Any:
    """`value` in the types of JSON: dataclasses become objects, bytes hex, paths and enums text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: as_json(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, enum.Enum):
        return value.name.lower()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return value.hex()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {_json_key(key): as_json(item) for key, item in value.items()}
    if isinstance(value, Iterable):
        return [as_json(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def printable(text: str) -> str:
    """`text` with everything escaped that is no printable character; surrogates are raw bytes."""
    return "".join(
        character if character.isprintable() else _escaped(character) for character in text
    )


def printable_text(text: str) -> str:
    """`printable` for text of several lines."""
    return "\n".join(map(printable, text.split("\n")))


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """Give a callback that draws a bar on stderr while the block runs; only on a terminal."""
    if not sys.stderr.isatty():
        yield _no_progress
        return
    # Imported here so that nothing waits for it that draws no bar.
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _no_progress(done: int, total: int) -> None:
    pass


def _json_key(key: Any) -> str:
    text = as_json(key)
    return text if isinstance(text, str) else json.dumps(text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no UTF-8, as surrogateescape keeps it
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
