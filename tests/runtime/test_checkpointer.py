"""Checkpoints: in their own thread, when due, and no failure of one goes unseen."""

from __future__ import annotations

import threading

import pytest
from structlog.testing import capture_logs

from conductor.errors import StoreError, StoreFull
from conductor.runtime.checkpointer import Checkpointer
from tests.runtime.kit import DEADLINE_SECONDS


class GrowingStore:
    """A store whose log has a size that the test chooses."""

    def __init__(self, *failures: Exception) -> None:
        self.bytes = 0
        self.failures = list(failures)
        self.threads: list[str] = []
        self.done = threading.Event()

    def wal_bytes(self) -> int:
        return self.bytes

    def checkpoint(self) -> None:
        self.threads.append(threading.current_thread().name)
        self.done.set()
        if self.failures:
            raise self.failures.pop(0)


def run(store: GrowingStore, *sizes: int) -> list[Exception]:
    """Consider the store at each of these sizes; what failed."""
    failures: list[Exception] = []
    checkpointer = Checkpointer(store, 100, failures.append)
    checkpointer.start()
    for size in sizes:
        store.bytes = size
        store.done.clear()
        checkpointer.consider()
        if size >= 100:
            assert store.done.wait(DEADLINE_SECONDS)
    checkpointer.stop()
    return failures


def test_a_short_log_is_left_alone() -> None:
    store = GrowingStore()
    run(store, 0, 99)
    assert store.threads == []


def test_a_long_log_is_moved_by_the_checkpointers_own_thread() -> None:
    store = GrowingStore()
    assert run(store, 100) == []
    assert store.threads == ["checkpointer"]


def test_lack_of_space_is_tried_again() -> None:
    store = GrowingStore(StoreFull("full"))
    assert run(store, 100, 200) == []
    assert len(store.threads) == 2


@pytest.mark.parametrize("failure", [StoreError("sync failed"), KeyError("a bug")])
def test_any_other_failure_is_told(failure: Exception) -> None:
    """Also one that nobody foresaw: a log that nobody shortens fills the disk."""
    with capture_logs():
        assert run(GrowingStore(failure), 100) == [failure]
