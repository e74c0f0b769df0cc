"""No conductor comes to run on a database that has lost its name, whenever it starts."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from conductor.errors import StoreError, StoreLocked
from raft_state.backup.swap import Swap, swap_directories
from raft_state.exchange import DatabaseLocks, exchange, locks
from raft_state.node import LOG_FILE, STABLE_FILE
from tests.raft_state.backup_states import IDS, make_node, tree
from tests.raft_state.starting_conductor import StartingConductor


def make_swap(root: Path, name: str) -> Swap:
    swap = Swap(root / name, root / f"{name}.restoring-1", root / f"{name}.replaced-1")
    make_node(swap.target, term=1)
    make_node(swap.fresh, term=9)
    return swap


@pytest.fixture
def swaps(tmp_path: Path) -> list[Swap]:
    return [make_swap(tmp_path, name) for name in IDS]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def starting(stack: ExitStack, directory: Path) -> StartingConductor:
    conductor = StartingConductor(directory)
    stack.callback(conductor.stop)
    return conductor


def assert_runs_there(conductor: StartingConductor, directory: Path) -> None:
    conductor.ask()
    assert conductor.holds(directory)


def test_conductor_that_waits_for_an_old_log_gives_up_and_its_next_start_finds_the_new(
    swaps: list[Swap], stack: ExitStack
) -> None:
    late = starting(stack, swaps[2].target)
    new, old = tree(swaps[2].fresh), tree(swaps[2].target)

    swap_directories(swaps, settled=late.ask)

    assert late.gave_up
    assert tree(swaps[2].target) == new
    assert tree(swaps[2].replaced) == old
    assert_runs_there(starting(stack, swaps[2].target), swaps[2].target)


def test_conductor_that_starts_on_a_new_directory_keeps_it_whoever_else_comes(
    swaps: list[Swap], stack: ExitStack
) -> None:
    late = starting(stack, swaps[2].target)
    regular: list[StartingConductor] = []

    def settled() -> None:
        regular.append(starting(stack, swaps[0].target))
        late.ask()
        regular[0].ask()

    swap_directories(swaps, settled=settled)

    assert late.gave_up
    assert_runs_there(regular[0], swaps[0].target)


@pytest.mark.parametrize("when", ["before", "between"])
def test_conductor_that_comes_while_all_is_taken_back_never_runs_on_what_is_removed(
    swaps: list[Swap], stack: ExitStack, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """It waits for the old log, or for the new one, when the disk fails after the renames."""
    conductors = [starting(stack, swaps[2].target)] if when == "before" else []
    before = tree(swaps[2].target)
    calls = iter([True])

    def sync(descriptor: int) -> None:
        for _ in calls:
            if when == "between":
                conductors.append(starting(stack, swaps[2].target))
            conductors[0].ask()
            assert conductors[0].has_none
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", sync)

    with pytest.raises(StoreError, match="durable"):
        swap_directories(swaps)

    conductors[0].ask()
    assert conductors[0].gave_up == (when == "between")
    assert tree(swaps[2].target) == before
    if when == "between":
        conductors.append(starting(stack, swaps[2].target))
    assert_runs_there(conductors[-1], swaps[2].target)


def test_log_that_a_conductor_makes_where_there_was_none_is_given_back_to_it(
    swaps: list[Swap], stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = swaps[1].target
    (target / LOG_FILE).unlink()
    rename = os.rename
    conductors: list[StartingConductor] = []

    def comes_first(source: Path, place: Path) -> None:
        if not conductors:
            conductors.append(starting(stack, target))
            conductors[0].ask()
        rename(source, place)

    monkeypatch.setattr(os, "rename", comes_first)

    with pytest.raises(StoreLocked, match=r"a conductor started.*stop it now.*run this again"):
        swap_directories(swaps)

    assert_runs_there(conductors[0], target)


def test_file_that_appears_is_not_replaced_by_a_new_database(tmp_path: Path) -> None:
    """A recovery replaces single files."""
    new = make_node(tmp_path / "new")
    place = tmp_path / "node" / STABLE_FILE
    place.parent.mkdir()
    place.touch()

    with (
        DatabaseLocks([], exclusive=True) as old,
        DatabaseLocks([new], exclusive=True, writable=True) as made,
        pytest.raises(StoreLocked, match="a conductor started"),
    ):
        exchange([(new / STABLE_FILE, place)], old, made)

    assert place.read_bytes() == b""
    assert (new / STABLE_FILE).exists()


def test_old_file_that_somebody_keeps_is_told_and_the_others_are_readable_again(
    swaps: list[Swap], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_TURNED_AWAY_TRIES", 1)
    monkeypatch.setattr(locks, "POLL_S", 0)
    old, new = tree(swaps[1].target), tree(swaps[0].fresh)

    with (swaps[0].target / LOG_FILE).open("rb") as file:

        def settled() -> None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

        with pytest.raises(StoreLocked, match=r"sequencer-1/raft-log\.db was replaced, and what"):
            swap_directories(swaps, settled=settled)

    assert tree(swaps[1].replaced) == old
    assert tree(swaps[0].target) == new
