"""The log: one look for all, and nobody ever waits for its reader."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import structlog

from conductor.config import LogFormat
from conductor.observability import CHATTY_LOGGER, LogWriter, configure_logging

DEADLINE_S = 10.0


@dataclass
class Pipe:
    """A pipe that stands for stderr."""

    reader: int
    writer: int

    def fill(self) -> int:
        """Write until it takes no more, as when the reader has stopped; returns the bytes."""
        flags = fcntl.fcntl(self.writer, fcntl.F_GETFL)
        fcntl.fcntl(self.writer, fcntl.F_SETFL, flags | os.O_NONBLOCK)
        count = 0
        try:
            while True:
                count += os.write(self.writer, b"x" * 4096)
        except BlockingIOError:
            fcntl.fcntl(self.writer, fcntl.F_SETFL, flags)
        return count

    def drain(self, count: int) -> None:
        """Read so many bytes."""
        while count:
            count -= len(os.read(self.reader, count))

    def lines(self) -> list[str]:
        """Everything that is written until the writing end is closed."""
        os.close(self.writer)
        self.writer = -1
        with os.fdopen(self.reader, closefd=False) as file:
            return file.read().splitlines()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe(*os.pipe())
    yield made
    os.close(made.reader)
    if made.writer >= 0:
        os.close(made.writer)


def logged(pipe: Pipe, level: str, log_format: LogFormat, log: Callable[[], object]) -> list[str]:
    with configure_logging(level, log_format, descriptor=pipe.writer):
        log()
    return pipe.lines()


def test_json_line_holds_the_event_and_its_values(pipe: Pipe) -> None:
    logger = structlog.get_logger("conductor.test")

    (line,) = logged(pipe, "info", "json", lambda: logger.info("leader_elected", epoch=7, id="a"))

    event = json.loads(line)
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "leader_elected",
        "epoch": 7,
        "id": "a",
        "level": "info",
        "logger": "conductor.test",
    }


def test_text_line_is_key_value_where_there_is_no_terminal(pipe: Pipe) -> None:
    logger = structlog.get_logger("conductor.test")

    (line,) = logged(pipe, "info", "text", lambda: logger.warning("peer lost", peer="b", ok=False))

    assert line.startswith("timestamp=")
    assert line.endswith(' level=warning event="peer lost" peer=b ok=false logger=conductor.test')


def test_lines_of_libraries_look_alike(pipe: Pipe) -> None:
    (line,) = logged(
        pipe, "info", "json", lambda: logging.getLogger("aiohttp.server").error("bad %s", "header")
    )

    event = json.loads(line)
    assert (event["event"], event["level"], event["logger"]) == (
        "bad header",
        "error",
        "aiohttp.server",
    )


@pytest.mark.parametrize(
    ("level", "expected"),
    [("debug", 8), ("info", 6), ("warning", 4), ("error", 2)],
)
def test_level_holds_for_us_and_for_libraries(pipe: Pipe, level: str, expected: int) -> None:
    def log() -> None:
        for logger in (structlog.get_logger("ours"), logging.getLogger("theirs")):
            for method in ("debug", "info", "warning", "error"):
                getattr(logger, method)("event")

    assert len(logged(pipe, level, "json", log)) == expected


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_exception_stays_on_one_line(pipe: Pipe, log_format: LogFormat) -> None:
    def log() -> None:
        try:
            raise OSError("disk\nfull")
        except OSError:
            structlog.get_logger("ours").exception("write_failed")
            logging.getLogger("theirs").exception("write failed")

    lines = logged(pipe, "info", log_format, log)

    assert len(lines) == 2
    assert all("Traceback" in line and "disk\\nfull" in line for line in lines)


def test_text_from_outside_cannot_steer_a_terminal(pipe: Pipe) -> None:
    logger = structlog.get_logger("ours")

    (line,) = logged(
        pipe, "info", "text", lambda: logger.info("\x1b[2J", peer="a\x07\nlevel=error")
    )

    assert line.isprintable()
    assert "\\x1b[2J" in line


@pytest.mark.parametrize("no_color", [False, True])
def test_terminal_gets_colour_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, no_color: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", "1" if no_color else "")
    master, terminal = pty.openpty()
    with configure_logging("info", "text", descriptor=terminal):
        structlog.get_logger("ours").info("hello")
    line = os.read(master, 4096)
    os.close(terminal)
    os.close(master)

    assert b"hello" in line
    assert (b"\x1b[" in line) is not no_color


def test_line_that_cannot_be_rendered_becomes_an_error_line(pipe: Pipe) -> None:
    lines = logged(
        pipe, "info", "json", lambda: logging.getLogger("theirs").info("%d apples", "many")
    )

    (event,) = map(json.loads, lines)
    assert event["level"] == "error"
    assert (event["event"], event["origin"]) == ("log_line_unreadable", "theirs")
    assert event["text"] == "'%d apples'"


def test_library_that_says_nothing_useful_says_it_from_info_on(pipe: Pipe) -> None:
    def log() -> None:
        logging.getLogger(CHATTY_LOGGER).debug("Loaded running loop")
        logging.getLogger(CHATTY_LOGGER).info("something")

    (line,) = logged(pipe, "debug", "json", log)

    assert json.loads(line)["event"] == "something"
    assert logging.getLogger(CHATTY_LOGGER).level == logging.NOTSET


def test_logging_is_left_as_it_was_found(pipe: Pipe) -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)

    logged(pipe, "debug", "json", lambda: None)

    assert (root.handlers[:], root.level) == before
    assert not [thread for thread in threading.enumerate() if thread.name == "log-writer"]


def test_stalled_reader_stops_nobody_and_hears_what_was_dropped(pipe: Pipe) -> None:
    """The lines that fit the queue come late, the others are counted, and that is said."""
    filled = pipe.fill()

    with configure_logging("info", "json", descriptor=pipe.writer, lines_max=10) as writer:
        logger = structlog.get_logger("ours")
        for number in range(1000):
            logger.info("event", number=number)
        dropped = writer.dropped
        pipe.drain(filled)

    events = [json.loads(line) for line in pipe.lines()]
    numbers = [event["number"] for event in events if event["event"] == "event"]
    assert numbers[:10] == list(range(10))
    # The thread may have taken one line out of the full queue before it stalled.
    assert len(numbers) == 1000 - dropped in (10, 11)
    notices = [event for event in events if event["event"] != "event"]
    assert {notice["event"] for notice in notices} == {"log_lines_dropped"}
    assert sum(notice["count"] for notice in notices) == dropped
    assert {notice["level"] for notice in notices} == {"warning"}


async def test_event_loop_may_log_while_the_reader_is_stalled(pipe: Pipe) -> None:
    """The detector of blocking calls, which watches every async test, finds none."""
    filled = pipe.fill()
    writer = LogWriter(pipe.writer, 2, str)
    for _ in range(100):
        writer.write("line")
    pipe.drain(filled)

    await asyncio.to_thread(writer.close, DEADLINE_S)

    assert writer.dropped in (97, 98)


def test_closing_does_not_wait_for_a_stalled_reader(pipe: Pipe) -> None:
    filled = pipe.fill()
    writer = LogWriter(pipe.writer, 10, str)
    writer.write("late")

    writer.close(0.01)

    # The line was not given up: it is written as soon as there is room.
    pipe.drain(filled)
    assert os.read(pipe.reader, 100) == b"late\n"


def test_reader_that_is_gone_is_counted_not_raised() -> None:
    reader, descriptor = os.pipe()
    os.close(reader)
    writer = LogWriter(descriptor, 10, str)
    writer.write("into the void")
    writer.close(DEADLINE_S)
    os.close(descriptor)

    assert writer.dropped == 1


def test_non_blocking_descriptor_loses_nothing(pipe: Pipe) -> None:
    """Another program that shares our stderr may make it non-blocking."""
    os.set_blocking(pipe.writer, False)
    writer = LogWriter(pipe.writer, 100, str)
    line = "x" * 200_000
    writer.write(line)

    received = b""
    while len(received) < len(line) + 1:
        received += os.read(pipe.reader, 65536)
    writer.close(DEADLINE_S)

    assert received == line.encode() + b"\n"
    assert writer.dropped == 0


def test_process_ends_while_its_stderr_is_stalled(pipe: Pipe) -> None:
    """A stalled write neither keeps the process alive nor makes its end a crash."""
    pipe.fill()
    code = (
        "import logging\n"
        "from conductor import observability\n"
        "observability.CLOSE_TIMEOUT_S = 0.01\n"
        "with observability.configure_logging('info', 'text'):\n"
        "    logging.getLogger('x').error('y')\n"
    )

    result = subprocess.run(
        [sys.executable, "-c", code], stderr=pipe.writer, timeout=DEADLINE_S, check=False
    )

    assert result.returncode == 0
