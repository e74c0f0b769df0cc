"""The writer: one thread, in order, told only when durable, fatal when a disk cannot be trusted."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from conductor.core.effects import Touch, Write
from conductor.errors import StoreError, StoreFull
from conductor.ports import Bodies
from conductor.runtime import writer as writer_module
from conductor.runtime.writer import Writer
from tests.runtime.kit import DEADLINE_SECONDS, SlowStore, formed_store


class Listener:
    """Remembers what the writer told, and lets a test wait for it."""

    def __init__(self) -> None:
        self.completed: list[int] = []
        self.full: list[bool] = []
        self.error: Exception | None = None
        self._changed = threading.Condition()

    def write_completed(self, sequence: int, bodies: Bodies) -> None:
        with self._changed:
            self.completed.append(sequence)
            self._changed.notify_all()

    def space_changed(self, is_full: bool) -> None:
        with self._changed:
            self.full.append(is_full)
            self._changed.notify_all()

    def write_failed(self, error: Exception) -> None:
        with self._changed:
            self.error = error
            self._changed.notify_all()

    def wait(self, *, completed: int = 0, full: int = 0, failed: bool = False) -> None:
        def reached() -> bool:
            has_failed = self.error is not None or not failed
            return len(self.completed) >= completed and len(self.full) >= full and has_failed

        with self._changed:
            assert self._changed.wait_for(reached, DEADLINE_SECONDS)


@pytest.fixture
def store() -> SlowStore:
    return formed_store(3)


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def written() -> list[int]:
    return []


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Failures are logged with their tracebacks, which take long to render."""
    with capture_logs():
        yield


@pytest.fixture
def writer(store: SlowStore, listener: Listener, written: list[int]) -> Iterator[Writer]:
    writer = Writer(store, listener, after_write=lambda: written.append(len(store.groups)))
    writer.start()
    yield writer
    store.open.set()
    writer.stop()


def touch(sequence: int) -> Write:
    return Write(sequence, (Touch(),))


def test_completions_come_in_the_order_of_the_writes(writer: Writer, listener: Listener) -> None:
    for sequence in range(1, 21):
        writer.submit(touch(sequence), {})
    listener.wait(completed=20)
    assert listener.completed == list(range(1, 21))


def test_nothing_is_told_before_the_store_has_returned(
    writer: Writer, listener: Listener, store: SlowStore
) -> None:
    """T26: an acknowledgement must not overtake its own sync."""
    store.open.clear()
    writer.submit(touch(1), {})
    assert store.waiting.wait(DEADLINE_SECONDS)
    assert listener.completed == []
    store.open.set()
    listener.wait(completed=1)


def test_writes_that_wait_share_the_next_transaction(
    writer: Writer, listener: Listener, store: SlowStore
) -> None:
    store.open.clear()
    writer.submit(touch(1), {})
    assert store.waiting.wait(DEADLINE_SECONDS)
    for sequence in (2, 3, 4):
        writer.submit(touch(sequence), {})
    store.open.set()
    listener.wait(completed=4)
    assert store.groups == [(1,), (2, 3, 4)]


def test_lack_of_space_is_waited_out_with_the_write_in_hand(
    writer: Writer, listener: Listener, store: SlowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write refused before its commit changed nothing: it is tried again, and others wait."""
    monkeypatch.setattr(writer_module, "SPACE_RETRY_SECONDS", 0.001)
    store.failures += [StoreFull("full"), StoreFull("full")]
    writer.submit(touch(1), {})
    listener.wait(completed=1, full=2)
    assert listener.full == [True, False]
    assert listener.error is None


def test_any_other_failure_is_fatal_and_never_retried(
    writer: Writer, listener: Listener, store: SlowStore
) -> None:
    """T27: a failed sync may have lost what a second one would call durable."""
    store.failures.append(StoreError("sync failed"))
    writer.submit(touch(1), {})
    listener.wait(failed=True)
    assert listener.completed == []
    assert store.groups == []


def test_a_failure_that_nobody_foresaw_is_fatal_too(
    writer: Writer, listener: Listener, store: SlowStore
) -> None:
    """A writer that ends in silence would leave a node that neither works nor starts again."""
    store.failures.append(KeyError("a bug"))
    writer.submit(touch(1), {})
    listener.wait(failed=True)
    assert listener.completed == []


def test_stopping_does_not_wait_for_space(
    writer: Writer, listener: Listener, store: SlowStore
) -> None:
    """A full disk is no failure of a node that is told to stop: nobody was told of the write."""
    store.failures += [StoreFull("full")] * 9
    writer.submit(touch(1), {})
    listener.wait(full=1)
    writer.stop()
    assert listener.completed == []
    assert listener.error is None


def test_stopping_waits_for_the_write_in_hand(
    writer: Writer, listener: Listener, store: SlowStore
) -> None:
    """Whoever closes the store under a write crashes the process, perhaps inside SQLite."""
    store.open.clear()
    writer.submit(touch(1), {})
    assert store.waiting.wait(DEADLINE_SECONDS)
    opener = threading.Timer(0.05, store.open.set)
    opener.start()
    writer.stop()
    assert listener.completed == [1]
    opener.join()


def test_stopping_finishes_what_is_queued(
    writer: Writer, listener: Listener, store: SlowStore
) -> None:
    for sequence in (1, 2, 3):
        writer.submit(touch(sequence), {})
    writer.stop()
    assert listener.completed == [1, 2, 3]


def test_each_transaction_is_told_to_whoever_keeps_the_log_short(
    writer: Writer, listener: Listener, written: list[int]
) -> None:
    writer.submit(touch(1), {})
    listener.wait(completed=1)
    writer.stop()
    assert written == [1]


def test_a_promise_behind_a_stuck_payload_reaches_the_store_with_it(
    writer: Writer, listener: Listener, store: SlowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for promises is reserved: it must not be locked up behind what lacks room."""
    monkeypatch.setattr(writer_module, "SPACE_RETRY_SECONDS", 0.001)
    store.failures.append(StoreFull("full"))
    store.open.clear()
    writer.submit(touch(1), {})
    assert store.waiting.wait(DEADLINE_SECONDS)
    writer.submit(touch(2), {})
    store.open.set()
    listener.wait(completed=2)
    assert store.groups == [(1, 2)]
