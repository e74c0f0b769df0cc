"""Directories are replaced all together or not at all, whatever fails and whenever it stops."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import threading
from pathlib import Path

import pytest

from conductor.errors import StoreError, StoreLocked
from raft_state.backup.swap import Swap, discard, leftovers_in, swap_directories
from raft_state.exchange import POLL_S
from raft_state.node import LOG_FILE, is_own_folder
from tests.raft_state.backup_states import (
    IDS,
    KILLED,
    REFUSED,
    STAMP,
    failing_at,
    in_child,
    killed_at,
    running,
    tree,
)


def settled() -> None:
    """No conductor comes."""


def make_swap(root: Path, name: str) -> Swap:
    target = root / name
    for path, content in ((target, b"old"), (root / f"{name}.restoring-{STAMP}", b"new")):
        path.mkdir()
        (path / LOG_FILE).write_bytes(content)
    return Swap(target, root / f"{name}.restoring-{STAMP}", root / f"{name}.replaced-{STAMP}")


def content(directory: Path) -> bytes:
    return (directory / LOG_FILE).read_bytes()


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk: whether something was synced is not what is looked at here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def swaps(tmp_path: Path) -> list[Swap]:
    return [make_swap(tmp_path, name) for name in IDS]


class LateConductor:
    """A conductor that had opened its database before the renames, and locks it after them."""

    def __init__(self, directory: Path) -> None:
        self._running = running(directory)
        self._started = False

    def __enter__(self) -> LateConductor:
        return self

    def __call__(self) -> None:
        self._running.__enter__()
        self._started = True

    def __exit__(self, *error: object) -> None:
        assert self._started
        self._running.__exit__(None, None, None)


def test_new_directories_take_the_place_of_old_ones(swaps: list[Swap]) -> None:
    swap_directories(swaps, settled=settled)

    assert [content(swap.target) for swap in swaps] == [b"new"] * 3
    assert [content(swap.replaced) for swap in swaps] == [b"old"] * 3
    assert not any(swap.fresh.exists() for swap in swaps)


def test_directory_that_was_not_there_is_put_there(tmp_path: Path) -> None:
    swap = make_swap(tmp_path, "a")
    discard(swap.target.rename(swap.replaced))

    swap_directories([swap], settled=settled)

    assert content(swap.target) == b"new"
    assert not swap.replaced.exists()


def test_crash_at_any_point_leaves_every_node_whole_or_its_state_named(tmp_path: Path) -> None:
    gaps = 0
    for number in range(20):
        root = tmp_path / str(number)
        root.mkdir()
        swaps = [make_swap(root, name) for name in IDS]

        def work(swaps: list[Swap] = swaps) -> None:
            swap_directories(swaps, settled=settled)
            for swap in swaps:
                discard(swap.replaced)

        code = in_child(work, killed_at(number))

        texts = [leftover.text for leftover in leftovers_in(root)]
        for swap in swaps:
            if swap.target.exists():
                assert content(swap.target) in (b"old", b"new")
                continue
            gaps += 1
            (way_out,) = re.findall(
                rf"mv (\S+) {re.escape(str(swap.target))}$", "\n".join(texts), re.MULTILINE
            )
            assert content(Path(way_out)) == b"old"
        if code == 0:
            break
        assert code == KILLED
        assert texts
    assert (number, code) == (6 + 3 * 3, 0)
    assert gaps == len(IDS)


def test_failure_at_any_rename_puts_all_back(tmp_path: Path) -> None:
    for number in range(6):
        root = tmp_path / str(number)
        root.mkdir()
        swaps = [make_swap(root, name) for name in IDS]
        before = tree(root)

        def work(swaps: list[Swap] = swaps) -> None:
            swap_directories(swaps, settled=settled)

        code = in_child(work, failing_at(number, OSError(errno.EIO, os.strerror(errno.EIO))))

        assert code == REFUSED
        assert tree(root) == before


def test_failed_sync_puts_all_back(swaps: list[Swap], monkeypatch: pytest.MonkeyPatch) -> None:
    root = swaps[0].target.parent
    before = tree(root)
    calls = iter([OSError(errno.EIO, "Input/output error")])

    def sync(descriptor: int) -> None:
        for error in calls:
            raise error

    monkeypatch.setattr(os, "fsync", sync)

    with pytest.raises(StoreError, match="durable"):
        swap_directories(swaps, settled=settled)

    assert tree(root) == before


def test_rename_that_cannot_be_taken_back_is_told_with_both_names(swaps: list[Swap]) -> None:
    first, second, _ = swaps

    def somebody_starts() -> None:
        first.fresh.mkdir()
        (first.fresh / "in the way").touch()
        raise KeyboardInterrupt

    with pytest.raises(StoreError, match="in this order") as error:
        swap_directories(swaps, settled=somebody_starts)

    assert f"{first.target} to {first.fresh} (" in str(error.value)
    assert content(second.target) == b"old"


def test_database_in_use_is_refused_before_anything_moves(swaps: list[Swap]) -> None:
    root = swaps[0].target.parent
    (swaps[2].target / "raft-stable.db").touch()
    before = tree(root)

    with running(swaps[2].target), pytest.raises(StoreLocked, match=r"sequencer-3.*in use"):
        swap_directories(swaps, settled=settled)

    assert tree(root) == before


def test_conductor_that_takes_an_old_database_during_the_swap_gets_its_directory_back(
    swaps: list[Swap],
) -> None:
    root = swaps[0].target.parent
    for swap in swaps:
        (swap.target / "raft-stable.db").touch()
    before = tree(root)

    late = LateConductor(swaps[1].replaced)
    with pytest.raises(StoreLocked, match="in use"), late:
        swap_directories(swaps, settled=late)

    assert tree(root) == before


def test_conductor_that_asks_for_an_old_lock_as_bolt_does_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It opened the database before the renames, and asks again every 50 ms, for ever."""
    swap = make_swap(tmp_path, "a")
    before = tree(tmp_path)
    got_it, may_end = threading.Event(), threading.Event()
    descriptor = os.open(swap.target / LOG_FILE, os.O_RDWR)

    def start() -> None:
        while not got_it.is_set():
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                got_it.set()
            except BlockingIOError:
                may_end.wait(POLL_S)
        may_end.wait()
        os.close(descriptor)

    conductor = threading.Thread(target=start)

    def between_renames_and_unlocking(descriptor: int) -> None:
        if not conductor.ident:
            conductor.start()

    monkeypatch.setattr(os, "fsync", between_renames_and_unlocking)
    try:
        with pytest.raises(StoreLocked, match="in use"):
            swap_directories([swap])
    finally:
        may_end.set()
        conductor.join()

    assert tree(tmp_path) == before


def test_nothing_is_waited_for_where_nothing_was(tmp_path: Path) -> None:
    swap = make_swap(tmp_path, "a")
    discard(swap.target.rename(swap.replaced))

    swap_directories([swap], settled=lambda: pytest.fail("waited"))


def test_half_removed_state_does_not_look_whole(tmp_path: Path) -> None:
    """The name goes before the content."""
    swap = make_swap(tmp_path, "a")
    swap.target.rename(swap.replaced)

    assert in_child(lambda: discard(swap.replaced), killed_at(1)) == KILLED

    (_, leftover) = sorted(
        leftovers_in(tmp_path), key=lambda each: each.path.name != swap.fresh.name
    )
    assert leftover.path.name == f"a.discarded-{STAMP}"
    assert "remove it" in leftover.text


def test_leftovers_of_other_nodes_are_not_mixed_up(swaps: list[Swap]) -> None:
    root = swaps[0].target.parent

    assert [each.path for each in leftovers_in(root, IDS[1])] == [swaps[1].fresh]
    assert len(leftovers_in(root)) == 3
    assert leftovers_in(root / "nowhere") == []
    assert all(
        is_own_folder(swap.fresh.name) and not is_own_folder(swap.target.name) for swap in swaps
    )
