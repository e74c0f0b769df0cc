"""A report that is drawn anew in its place on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Group
from rich.live import Live

from conductor.cli.status_report import Report
from conductor.cli.status_table import draw
from conductor.cli.terminal import stdout_console, text


@contextmanager
def live_screen(interval_ms: int) -> Iterator[Callable[[Report], None]]:
    """Draws what it is given where the one before was; the last one stays when the block is left.

    `interval_ms` is only told to people.
    """
    console = stdout_console()
    with Live(console=console, auto_refresh=False) as live:

        def show(report: Report) -> None:
            now = datetime.now(UTC).strftime("%H:%M:%S UTC")
            title = text(f"{now}, every {interval_ms} ms, Ctrl-C ends", "dim")
            live.update(Group(title, draw(report, console)), refresh=True)

        yield show
