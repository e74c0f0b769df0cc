"""Directories are replaced all together or not at all, whatever fails and whenever it stops."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from conductor.errors import StoreError, StoreLocked
from raft_state.backup.swap import Swap, discard, leftovers_in, swap_directories
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


def old_states(found: dict[str, bytes | None]) -> dict[str, bytes | None]:
    """Without what was new: that is spoilt before it is taken back, and then removed."""
    return {path: data for path, data in found.items() if ".restoring-" not in path}


def content(directory: Path) -> bytes:
    return (directory / LOG_FILE).read_bytes()


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk: whether something was synced is not what is looked at here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def swaps(tmp_path: Path) -> list[Swap]:
    return [make_swap(tmp_path, name) for name in IDS]


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
        assert old_states(tree(root)) == old_states(before)


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

    assert old_states(tree(root)) == old_states(before)


def test_rename_that_cannot_be_taken_back_is_told_with_both_names(
    swaps: list[Swap], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _ = swaps
    calls = iter([KeyboardInterrupt])

    def somebody_starts(descriptor: int) -> None:
        for interrupt in calls:
            first.fresh.mkdir()
            (first.fresh / "in the way").touch()
            raise interrupt

    monkeypatch.setattr(os, "fsync", somebody_starts)

    with pytest.raises(StoreError, match="in this order") as error:
        swap_directories(swaps, settled=settled)

    assert f"{first.target} to {first.fresh} (" in str(error.value)
    assert content(second.target) == b"old"


def test_database_in_use_is_refused_before_anything_moves(swaps: list[Swap]) -> None:
    root = swaps[0].target.parent
    (swaps[2].target / "raft-stable.db").touch()
    before = tree(root)

    with running(swaps[2].target), pytest.raises(StoreLocked, match=r"sequencer-3.*in use"):
        swap_directories(swaps, settled=settled)

    assert tree(root) == before


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
