"""What `apply` has returned for survives kills at any moment and syncs that fail."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from conductor.store import open_store
from tests.store.builders import bodies_of, form
from tests.store.history import replay, steps_done

ROOT = Path(__file__).resolve().parents[2]
STEPS = 100_000
"""More than any test lets happen."""


def can_trace() -> bool:
    """Whether strace is there and may look at processes."""
    if shutil.which("strace") is None:
        return False
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False)
    return tried.returncode == 0


@pytest.fixture(scope="session")
def strace() -> str:
    """The program; the test is skipped where it cannot run."""
    if not can_trace():
        pytest.skip("needs strace, and the right to trace a process")
    return "strace"


def start(
    path: Path, steps: int = STEPS, *, under: Sequence[str | Path] = ()
) -> subprocess.Popen[str]:
    """Start a process that writes the history to a store."""
    program = [sys.executable, "-m", "tests.store.history", str(path), str(steps)]
    return subprocess.Popen([*under, *program], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> Iterator[str]:
    """The lines that a process writes."""
    assert process.stdout is not None
    for line in process.stdout:
        yield line.rstrip("\n")


def check_holds(path: Path, acknowledged: int) -> int:
    """The store is as after the acknowledged steps or one more; after how many it is."""
    store = open_store(path, "a")
    state = store.load()
    done = steps_done(state)
    assert acknowledged <= done <= acknowledged + 1
    expected = replay(done)
    assert state == replace(expected.load(), incarnation=state.incarnation)
    assert bodies_of(store, state) == bodies_of(expected, state)
    store.close()
    return done


def test_killed_process_leaves_what_it_was_told_is_durable(tmp_path: Path) -> None:
    source = random.Random(5)
    acknowledged = 0
    for _ in range(5):
        with start(tmp_path / "data") as process:
            lines = said(process)
            wanted = acknowledged + source.randint(1, 60)
            while acknowledged < wanted:
                acknowledged = int(next(lines))
            process.kill()
            for line in lines:
                acknowledged = int(line)
        acknowledged = check_holds(tmp_path / "data", acknowledged)

    assert acknowledged > 50


@pytest.mark.parametrize("number", [1, 3, 12])
def test_failed_sync_stops_the_process_and_loses_nothing(
    tmp_path: Path, strace: str, number: int
) -> None:
    path = tmp_path / "data"
    store = open_store(path, "a")
    form(store)
    store.close()
    inject = f"inject=fdatasync:error=EIO:when={number}"
    under = [strace, "-f", "-qq", "-o", os.devnull, "-e", inject]

    with start(path, under=under) as process:
        *steps, failure = said(process)

    assert process.returncode == 7
    assert failure.startswith("failed: ")
    assert "SQLITE_IOERR" in failure
    check_holds(path, int(steps[-1]))


def test_every_write_is_synced_once_before_it_is_acknowledged(tmp_path: Path, strace: str) -> None:
    """A kill cannot find a missing sync, for the system still has the bytes; the calls show it."""
    trace = tmp_path / "trace"
    calls = "trace=write,pwrite64,fdatasync,fsync"
    with start(tmp_path / "data", 12, under=[strace, "-y", "-qq", "-o", trace, "-e", calls]) as run:
        assert list(said(run))[-1] == "12"

    events = "".join(_event(line) for line in trace.read_text().splitlines())
    assert re.search(r"A(w+sA){6}", events), events
    assert re.search(r"A[^s]*A", events) is None, events


def _event(line: str) -> str:
    """`w` and `s`: a write to the log and a sync of it; `A`: a step is acknowledged."""
    if line.startswith("write(1<"):
        return "A"
    if "store.db-wal>" not in line:
        return ""
    return "w" if line.startswith("pwrite64(") else "s"


def test_store_whose_making_was_cut_short_is_made_anew(tmp_path: Path, strace: str) -> None:
    """Killed at each of its syncs, removals and renames in turn."""
    under = [strace, "-f", "-qq", "-o", os.devnull, "-e"]
    calls = "fsync,fdatasync,unlink,rename"
    for number in range(1, 40):
        path = tmp_path / str(number)
        inject = f"inject={calls}:signal=SIGKILL:when={number}"
        with start(path, 0, under=[*under, inject]) as process:
            assert list(said(process)) == ["0"] * (process.wait() == 0)
        check_holds(path, 0)
        if process.returncode == 0:
            break

    assert number > 10, "the process was killed too seldom"
    assert process.returncode == 0, "the process was never left alone"
