"""Sets up the log: structlog for our own lines, and the same look for those of the libraries.

Invariant: whoever logs never waits. A line is rendered and put into a bounded queue; one thread
writes it. When the reader of stderr stalls, lines are dropped and counted, and the node goes on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import re
import select
import threading
from collections.abc import Callable, Iterator, Mapping

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from conductor.config import LogFormat

STDERR = 2
QUEUED_LINES_MAX = 4096
CLOSE_TIMEOUT_S = 1.0
"""How long the last lines may take when the node stops."""

CHATTY_LOGGER = "grpc._cython.cygrpc"
"""At debug level it says for every call that it has an event loop: nobody wants to know."""

OWN_FIELDS = ("count", "error", "origin", "text")
"""The fields of the lines that are about the log itself."""

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@contextlib.contextmanager
def configure_logging(
    level: str,
    log_format: LogFormat,
    *,
    descriptor: int = STDERR,
    lines_max: int = QUEUED_LINES_MAX,
) -> Iterator[LogWriter]:
    """Send all logging of this process to `descriptor` while the context is open.

    `level` is debug, info, warning or error. Text is coloured on a terminal, unless NO_COLOR is
    set, and `key=value` elsewhere. The writer says how many lines were dropped.
    """
    level_number = logging.getLevelNamesMapping()[level.upper()]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=(*_common_processors(), structlog.stdlib.ExtraAdder(OWN_FIELDS)),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_renderers(log_format, terminal=os.isatty(descriptor)),
        ],
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            *_common_processors(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level_number),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    writer = LogWriter(descriptor, lines_max, lambda count: _notice(formatter, count))
    handler = _LineHandler(writer)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    chatty = logging.getLogger(CHATTY_LOGGER)
    handlers_before, level_before = root.handlers[:], root.level
    chatty_before = chatty.level
    root.handlers[:] = [handler]
    root.setLevel(level_number)
    chatty.setLevel(max(level_number, logging.INFO))
    try:
        yield writer
    finally:
        root.handlers[:] = handlers_before
        root.setLevel(level_before)
        chatty.setLevel(chatty_before)
        structlog.reset_defaults()
        writer.close(CLOSE_TIMEOUT_S)


class LogWriter:
    """Writes lines to a file descriptor from a thread of its own.

    It writes to the descriptor itself: a stalled write would hold the locks of `sys.stderr`, and
    the interpreter needs those to exit.
    """

    def __init__(self, descriptor: int, lines_max: int, notice: Callable[[int], str]) -> None:
        """`notice` renders the line that stands for so many dropped ones."""
        self._descriptor = descriptor
        self._notice = notice
        self._lines: queue.Queue[str | None] = queue.Queue(lines_max)
        # Two counts, because two threads count: each its own.
        self._refused = 0
        self._failed = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many lines were never written."""
        return self._refused + self._failed

    def write(self, line: str) -> None:
        """Write the line soon, or drop it and count it; at once in either case."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._refused += 1

    def close(self, timeout_s: float) -> None:
        """Write what is queued, for at most so long."""
        self._closing = True
        # A full queue wakes the thread too: it sees `_closing` behind the last line.
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        reported = 0
        while (line := self._lines.get()) is not None:
            if (dropped := self.dropped) > reported and self._write(
                self._notice(dropped - reported)
            ):
                reported = dropped
            if not self._write(line):
                self._failed += 1
            if self._closing and self._lines.empty():
                return

    def _write(self, line: str) -> bool:
        """Write a line, for as long as it takes; False when nobody can read it."""
        data = line.encode(errors="backslashreplace") + b"\n"
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                # Another program that shares the descriptor made it non-blocking.
                select.select((), (self._descriptor,), ())
            except OSError:
                return False
        return True


class _LineHandler(logging.Handler):
    """Renders records where they are logged, and leaves the writing to the writer."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Render and queue; a record whose arguments do not fit its text becomes an error line."""
        try:
            line = self.format(record)
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            about = {"origin": record.name, "error": str(error), "text": repr(record.msg)}
            line = self.format(_record(logging.ERROR, "log_line_unreadable", about))
        self._writer.write(line)


def _record(level: int, event: str, fields: Mapping[str, object]) -> logging.LogRecord:
    """A line of our own that does not come through structlog: this is below it."""
    record = logging.LogRecord(__name__, level, __file__, 0, event, None, None)
    vars(record).update(fields)
    return record


def _notice(formatter: logging.Formatter, count: int) -> str:
    return formatter.format(_record(logging.WARNING, "log_lines_dropped", {"count": count}))


def _common_processors() -> tuple[Processor, ...]:
    """What every line gets, ours and the libraries'."""
    return (
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    )


def _renderers(log_format: LogFormat, *, terminal: bool) -> tuple[Processor, ...]:
    if log_format == "json":
        return (structlog.processors.format_exc_info, structlog.processors.JSONRenderer())
    shared = (structlog.processors.format_exc_info, _escape_control_characters)
    if terminal:
        colors = not os.environ.get("NO_COLOR")
        return (*shared, structlog.dev.ConsoleRenderer(colors=colors))
    order = ("timestamp", "level", "event")
    return (*shared, structlog.processors.LogfmtRenderer(key_order=order, bool_as_flag=False))


def _escape_control_characters(
    logger: WrappedLogger, method: str, event_dict: EventDict
) -> EventDict:
    """Keep what peers and clients sent from moving the cursor of whoever reads the log."""
    for key, value in event_dict.items():
        if isinstance(value, str):
            event_dict[key] = _CONTROL_CHARACTERS.sub(
                lambda match: f"\\x{ord(match[0]):02x}", value
            )
    return event_dict
