"""Shows a devnet: a live table on a terminal, plain lines anywhere else.

Invariant: both tell the same story; no meaning is in a colour alone.
"""

from __future__ import annotations

from types import TracebackType

import click
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from conductor.devnet.views import Happening, NodeRow, Snapshot

HAPPENINGS_SHOWN = 12
PROGRESS_STEP = 10
"""Payloads between two lines of progress."""

_ROLE_STYLES = {"leader": "bold green", "killed": "bold red", "no answer": "yellow"}
_COLUMNS = (
    ("NODE", "left"),
    ("ROLE", "left"),
    ("EPOCH", "right"),
    ("SERVING", "left"),
    ("CERTIFIED", "right"),
    ("LAG", "right"),
    ("SEQUENCER", "left"),
    ("PROCESS", "left"),
    ("GATEWAY", "left"),
)


class PlainScreen:
    """Lines, each once: what happened, and now and then how far it is."""

    def __init__(self) -> None:
        self._steps_shown = 0

    def happened(self, happening: Happening) -> None:
        """Print it."""
        click.echo(_line(happening))

    def show(self, snapshot: Snapshot) -> None:
        """Print the progress when there was enough of it."""
        steps = snapshot.gossiped_count // PROGRESS_STEP
        if steps > self._steps_shown:
            self._steps_shown = steps
            heights = (f"{row.server_id} {_known(row.certified_height)}" for row in snapshot.rows)
            text = f"{_progress(snapshot)}; certified height: {', '.join(heights)}"
            click.echo(_line(Happening(snapshot.at_ms, text)))


class LiveScreen:
    """One table that is drawn anew, with the last happenings below it."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> LiveScreen:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def happened(self, happening: Happening) -> None:
        """Nothing: the next snapshot has it."""

    def show(self, snapshot: Snapshot) -> None:
        """Draw."""
        self._live.update(draw(snapshot), refresh=True)


def draw(snapshot: Snapshot) -> Group:
    """The table and the story below it."""
    table = Table(box=box.SIMPLE_HEAD, title=_progress(snapshot), title_justify="left")
    for name, justify in _COLUMNS:
        table.add_column(name, justify="right" if justify == "right" else "left", no_wrap=True)
    for row in snapshot.rows:
        table.add_row(*_cells(row))
    happenings = snapshot.happenings[-HAPPENINGS_SHOWN:]
    return Group(table, *(Text(_line(happening)) for happening in happenings))


def _cells(row: NodeRow) -> tuple[Text, ...]:
    serving = {None: "-", True: "yes", False: "no"}[row.serving]
    return (
        Text(row.server_id),
        Text(row.role, _ROLE_STYLES.get(row.role, "")),
        Text(_known(row.epoch)),
        Text(serving, "red" if row.serving is False else ""),
        Text(_known(row.certified_height)),
        Text(_known(row.lag)),
        Text(row.sequencer),
        Text(row.process),
        Text(row.gateway),
    )


def _progress(snapshot: Snapshot) -> str:
    wanted = f" ({snapshot.payloads} wanted)" if snapshot.payloads is not None else ""
    return f"{snapshot.gossiped_count} payloads certified and gossiped{wanted}"


def _line(happening: Happening) -> str:
    return f"{happening.at_ms / 1000:7.2f} s  {happening.text}"


def _known(number: int | None) -> str:
    return "-" if number is None else str(number)
