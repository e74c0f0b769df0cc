"""What only a terminal or a real process shows: questions, live tables, Ctrl-C, closed pipes."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import TracebackType

import pytest

from tests.cli.servers import FakeCluster

PROGRAM = [sys.executable, "-m", "conductor"]
WAIT_S = 30.0


class Session:
    """The program with a terminal for its input and output, read to its end."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._terminal, other_end = pty.openpty()
        try:
            self.process = subprocess.Popen(
                [*PROGRAM, *arguments],
                stdin=other_end,
                stdout=other_end,
                stderr=other_end,
                env={**os.environ, "TERM": "xterm", "COLUMNS": "200"},
            )
        finally:
            os.close(other_end)
        self.shown = ""

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._terminal)

    def wait_for(self, expected: str, *, times: int = 1) -> None:
        """Read until that has been shown so often."""
        deadline = time.monotonic() + WAIT_S
        while len(re.findall(expected, self.shown)) < times:
            assert self._read(deadline), f"no {expected!r} in {self.shown!r}"

    def type(self, words: str) -> None:
        """As a person does."""
        os.write(self._terminal, words.encode())

    def interrupt(self) -> None:
        """Ctrl-C, and again: one that comes just before the program waits for a line is not seen
        until there is one.
        """
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
                return

    def end(self) -> int:
        """Read to the end; the exit code."""
        deadline = time.monotonic() + WAIT_S
        while self._read(deadline):
            pass
        return self.process.wait(WAIT_S)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._terminal], [], [], deadline - time.monotonic())
        assert ready, f"nothing more within {WAIT_S} s after {self.shown!r}"
        try:
            data = os.read(self._terminal, 65536)
        except OSError:
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)


@pytest.fixture
def server(cluster: FakeCluster) -> str:
    return cluster.addresses["node-1"]


@pytest.mark.parametrize(
    ("answer", "exit_code", "is_paused"), [("y\n", 0, True), ("n\n", 5, False), ("\n", 5, False)]
)
def test_person_is_asked(
    cluster: FakeCluster, server: str, answer: str, exit_code: int, is_paused: bool
) -> None:
    with Session(["pause", "--server", server]) as session:
        session.wait_for(r"Pause node-1\? .* \[y/N\]: ")
        assert not cluster.members["node-1"].paused
        session.type(answer)

        assert session.end() == exit_code
    assert cluster.members["node-1"].paused is is_paused
    assert ("nothing was changed" in session.shown) is not is_paused


def test_transfer_names_both_sides_of_it(cluster: FakeCluster, server: str) -> None:
    with Session(["transfer", "node-3", "--server", server]) as session:
        session.wait_for(r"Pass the leadership from node-1 to node-3\? \[y/N\]: ")
        session.type("y\n")

        assert session.end() == 0
    assert cluster.leader_id == "node-3"


def test_question_is_left_by_interrupt(cluster: FakeCluster, server: str) -> None:
    with Session(["transfer", "--server", server]) as session:
        session.wait_for(r"the best voter\? \[y/N\]: ")
        session.interrupt()

        assert session.end() == 130
    assert "Traceback" not in session.shown
    assert cluster.leader_id == "node-1"


def test_binary_is_kept_from_a_terminal(server: str) -> None:
    with Session(["payload", "-o", "ssz", "--server", server]) as session:
        assert session.end() == 2
    assert "this is a terminal: add --out FILE" in session.shown


def test_watched_table_is_redrawn_in_place_until_interrupted(
    cluster: FakeCluster, server: str
) -> None:
    with Session(["status", "--watch", "--interval-ms", "50", "--server", server]) as session:
        session.wait_for("leader node-1", times=2)
        cluster.lead("node-2")
        session.wait_for("leader node-2")
        session.process.send_signal(signal.SIGINT)

        assert session.end() == 0
    assert "\x1b[1A" in session.shown, "the cursor goes up to draw over the last table"
    assert session.shown.rstrip().endswith("\x1b[?25h"), "the cursor is back"
    assert "Traceback" not in session.shown


def test_watch_gives_programs_a_line_each_time(cluster: FakeCluster, server: str) -> None:
    arguments = ["status", "--watch", "--interval-ms", "10", "-o", "json", "--server", server]
    with subprocess.Popen([*PROGRAM, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        process.stdout.read()

    assert process.returncode == 0
    assert all(line.startswith('{"state": "healthy"') for line in lines)


def test_reader_that_has_seen_enough_gets_no_complaint(server: str) -> None:
    arguments = ["status", "--watch", "--interval-ms", "10", "-o", "json", "--server", server]
    with subprocess.Popen(
        [*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        complaint = process.stderr.read()

    assert process.returncode == 1
    assert complaint == ""
