"""The leaderships that a node remembers, and what those who watch them are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from conductor.core.values import Epoch
from conductor.runtime.history import RECORDS_MAX, History
from conductor.service import LeadershipRecord
from tests.runtime.kit import DEADLINE_SECONDS


class Times:
    """A clock that is a second later every time."""

    def __init__(self) -> None:
        self.time_ms = 0

    def __call__(self) -> int:
        self.time_ms += 1000
        return self.time_ms


@pytest.fixture
def history() -> History:
    return History(Times())


def epochs(history: History) -> list[int]:
    return [record.epoch for record in history.records]


async def next_of(watcher: AsyncIterator[LeadershipRecord]) -> tuple[str, int]:
    """Who leads, and in which epoch, as the watcher is told next."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        record = await anext(watcher)
    return record.leader_id, record.epoch


async def waiting(watcher: AsyncIterator[LeadershipRecord]) -> asyncio.Task[tuple[str, int]]:
    """A watcher that has nothing new to be told, and waits."""
    task = asyncio.get_running_loop().create_task(next_of(watcher))
    await asyncio.sleep(0)
    assert not task.done()
    return task


def test_records_are_kept_oldest_first_with_when_and_why(history: History) -> None:
    history.note("a", Epoch(1), "was named")
    history.note("", Epoch(1), "a died")
    assert history.records == (
        LeadershipRecord("a", Epoch(1), "was named", 1000),
        LeadershipRecord("", Epoch(1), "a died", 2000),
    )


def test_old_records_make_room(history: History) -> None:
    for epoch in range(1, RECORDS_MAX + 11):
        history.note("a", Epoch(epoch), "")
    assert epochs(history) == list(range(11, RECORDS_MAX + 11))


def test_what_is_known_already_is_no_record(history: History) -> None:
    history.note("a", Epoch(1), "was named")
    history.note("a", Epoch(1), "was named again")
    assert [record.reason for record in history.records] == ["was named"]
    history.note("a", Epoch(2), "")
    history.note("b", Epoch(2), "")
    assert epochs(history) == [1, 2, 2]


async def test_watcher_is_told_of_nobody_while_nothing_is_known(history: History) -> None:
    watcher = history.watch()
    assert await next_of(watcher) == ("", 0)
    task = await waiting(watcher)
    history.note("a", Epoch(1), "")
    assert await task == ("a", 1)


async def test_watcher_is_told_the_present_and_then_every_change(history: History) -> None:
    history.note("a", Epoch(1), "")
    history.note("b", Epoch(2), "")
    watcher = history.watch()
    assert await next_of(watcher) == ("b", 2)
    for name, epoch in (("", 2), ("c", 3)):
        task = await waiting(watcher)
        history.note(name, Epoch(epoch), "")
        assert await task == (name, epoch)


async def test_slow_watcher_is_told_the_newest_once(history: History) -> None:
    watcher = history.watch()
    await next_of(watcher)
    for epoch in range(1, 1000):
        history.note("a", Epoch(epoch), "")
    assert await next_of(watcher) == ("a", 999)
    task = await waiting(watcher)
    history.note("b", Epoch(1000), "")
    assert await task == ("b", 1000)


async def test_what_changes_while_a_watcher_reads_is_not_missed(history: History) -> None:
    watcher = history.watch()
    await next_of(watcher)
    history.note("a", Epoch(1), "")
    assert await next_of(watcher) == ("a", 1)
    history.note("b", Epoch(2), "")
    assert await next_of(watcher) == ("b", 2)


async def test_a_change_that_is_none_wakes_nobody(history: History) -> None:
    history.note("a", Epoch(1), "")
    watcher = history.watch()
    await next_of(watcher)
    task = await waiting(watcher)
    history.note("a", Epoch(1), "again")
    await asyncio.sleep(0)
    assert not task.done()
    history.note("b", Epoch(2), "")
    assert await task == ("b", 2)


async def test_end_ends_those_who_wait(history: History) -> None:
    watchers = [history.watch() for _ in range(3)]
    tasks = []
    for watcher in watchers:
        await next_of(watcher)
        tasks.append(await waiting(watcher))
    history.end()
    for task in tasks:
        with pytest.raises(StopAsyncIteration):
            await task


async def test_watcher_learns_the_newest_before_the_end(history: History) -> None:
    """A leader that stops hands over first: who leads now is what its clients want to know."""
    watcher = history.watch()
    await next_of(watcher)
    history.note("b", Epoch(2), "a stops")
    history.end()
    assert await next_of(watcher) == ("b", 2)
    with pytest.raises(StopAsyncIteration):
        await next_of(watcher)


async def test_watcher_that_comes_after_the_end_is_told_once(history: History) -> None:
    history.note("a", Epoch(1), "")
    history.end()
    assert [record.leader_id async for record in history.watch()] == ["a"]


async def test_watcher_that_leaves_takes_nothing_from_the_others(history: History) -> None:
    leaver, stayer = history.watch(), history.watch()
    await next_of(leaver)
    await next_of(stayer)
    tasks = [await waiting(leaver), await waiting(stayer)]
    tasks[0].cancel()
    await asyncio.wait((tasks[0],))
    history.note("a", Epoch(1), "")
    assert await tasks[1] == ("a", 1)
