"""`recover`, cut off or refused by the system: what is left starts, or all is as before."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from conductor.errors import Refused, StoreLocked
from raft_state.backup.examine import examine
from raft_state.node import LOG_FILE, STABLE_FILE, open_node
from raft_state.raft import Configuration, StableState
from raft_state.recover import RECOVERING, plan_recovery
from tests.raft_state.backup_states import (
    KILLED,
    REFUSED,
    failing_at,
    in_child,
    killed_at,
    tree,
)
from tests.raft_state.flawed_states import MEMBERS, add_snapshot, make_node, noop, sets
from tests.raft_state.recover_states import (
    NEW_MEMBERS,
    ONE,
    THREE,
    TWO,
    carry_out,
    entries,
    make_survivors,
    members_of,
    recovered,
)
from tests.raft_state.starting_conductor import StartingConductor

CHANGES_MAX = 200
Make = Callable[[Path], object]


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk: whether something was synced is not what is looked at here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def logs_alone(root: Path) -> None:
    make_survivors(root, entries(7), entries(9))


def snapshots_and_lower_terms(root: Path) -> None:
    """One lags behind, in an older term, and has an older snapshot."""
    make_node(root, entries(9)[3:], stable=StableState(6, 5, b"b:1"))
    add_snapshot(root / ONE, 5)
    make_node(root, entries(6)[1:], server_id=TWO, stable=StableState(1, 1, b"a:1"))
    add_snapshot(root / TWO, 2, state=None)


def no_payload(root: Path) -> None:
    make_node(root, [sets(1), noop(2)], stable=StableState(3))
    make_node(root, [sets(1)], server_id=TWO, stable=StableState(2))


MAKERS = (logs_alone, snapshots_and_lower_terms, no_payload)


def work_in(root: Path) -> Callable[[], object]:
    plan = plan_recovery(root, NEW_MEMBERS)
    return lambda: carry_out(plan)


@pytest.mark.parametrize("make", MAKERS)
def test_kill_at_any_point_leaves_directories_that_start_and_another_run_finishes(
    tmp_path: Path, make: Make
) -> None:
    make(tmp_path / "whole")
    recovered(tmp_path / "whole")
    members: set[Configuration] = set()
    for number in range(CHANGES_MAX):
        root = tmp_path / str(number)
        make(root)

        code = in_child(work_in(root), killed_at(number))

        for name in (ONE, TWO):
            assert examine(root / name).problems == ()
            members.add(members_of(root / name))
        if code == 0:
            break
        assert code == KILLED
        left = [path for name in (ONE, TWO) for path in (root / name).glob(f"{RECOVERING}*")]
        warnings = "\n".join(recovered(root).outlook.warnings)
        assert all(f"{path} was left by a recovery" in warnings for path in left)
        assert_recovered_alike(root, tmp_path / "whole")
    assert code == 0
    assert number > 30
    assert members == {MEMBERS, NEW_MEMBERS}


def assert_recovered_alike(root: Path, whole: Path) -> None:
    for name in (ONE, TWO):
        with open_node(root / name) as node, open_node(whole / name) as expected:
            assert node.stable == expected.stable
            assert node.log is not None
            assert expected.log is not None
            assert [each.value for each in node.log.entries()] == [
                each.value for each in expected.log.entries()
            ]
            one, other = (
                [(each.meta.index, each.meta.term, each.meta.crc) for each in listing.listed]
                for listing in (node.snapshots, expected.snapshots)
            )
            assert one == other


@pytest.mark.parametrize("make", MAKERS)
def test_refusal_of_the_system_at_any_point_leaves_everything_as_it_was(
    tmp_path: Path, make: Make
) -> None:
    refused = 0
    for number in range(CHANGES_MAX):
        root = tmp_path / str(number)
        make(root)
        before = tree(root)
        error = OSError(errno.EIO, os.strerror(errno.EIO))

        code = in_child(work_in(root), failing_at(number, error))

        if code == REFUSED:
            refused += 1
            assert tree(root) == before
            continue
        # What was replaced could not be removed any more, or nothing failed.
        assert code == 0
        assert members_of(root / ONE) == members_of(root / TWO) == NEW_MEMBERS
        if not list(root.glob(f"*/{RECOVERING}*")):
            break
    assert refused > 20
    assert number > refused


def test_conductor_that_comes_while_files_are_replaced_never_runs_on_an_old_one(
    tmp_path: Path,
) -> None:
    """It had opened its log before the renames, and gets its lock after."""
    snapshots_and_lower_terms(tmp_path)
    plan = plan_recovery(tmp_path, NEW_MEMBERS)
    late = StartingConductor(tmp_path / TWO)

    carry_out(plan, settled=late.ask)

    assert late.gave_up
    assert members_of(tmp_path / TWO) == NEW_MEMBERS


@pytest.mark.parametrize("links", [True, False])
def test_log_that_a_conductor_makes_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    snapshots_and_lower_terms(tmp_path)
    (tmp_path / ONE / LOG_FILE).unlink()
    plan = plan_recovery(tmp_path, NEW_MEMBERS, source_id=ONE)
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", refuse_links)
    started: list[StartingConductor] = []
    rename = os.rename

    def comes_first(source: Path, target: Path) -> None:
        if not started:
            started.append(StartingConductor(tmp_path / ONE))
            started[0].ask()
        rename(source, target)

    monkeypatch.setattr(os, "rename", comes_first)

    with pytest.raises(StoreLocked, match="a conductor started"):
        carry_out(plan)

    started[0].ask()
    assert started[0].holds(tmp_path / ONE)
    started[0].stop()


def test_bystander_is_never_written_to(tmp_path: Path) -> None:
    snapshots_and_lower_terms(tmp_path)
    make_node(tmp_path, entries(2), server_id=THREE, stable=StableState(1))
    before = tree(tmp_path / THREE)
    seen: list[object] = []
    plan = plan_recovery(tmp_path, NEW_MEMBERS)

    carry_out(plan, settled=lambda: seen.append(tree(tmp_path / THREE)))

    assert seen == [before]


def refuse_links(*_: object) -> NoReturn:
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def test_file_system_without_links_does_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots_and_lower_terms(tmp_path)
    monkeypatch.setattr(Path, "hardlink_to", refuse_links)

    recovered(tmp_path)

    assert members_of(tmp_path / ONE) == members_of(tmp_path / TWO) == NEW_MEMBERS
    assert not list(tmp_path.glob(f"*/{RECOVERING}*"))


def test_file_that_a_kill_without_links_left_aside_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "hardlink_to", refuse_links)
    gaps = 0
    for number in range(CHANGES_MAX):
        root = tmp_path / str(number)
        no_payload(root)

        if in_child(work_in(root), killed_at(number)) == 0:
            break

        missing = [
            root / name / file
            for name in (ONE, TWO)
            for file in (LOG_FILE, STABLE_FILE)
            if not (root / name / file).exists()
        ]
        for place in missing:
            gaps += 1
            with pytest.raises(Refused, match=r"put it back with: mv (\S+) (\S+)") as error:
                plan_recovery(root, NEW_MEMBERS)
            kept, target = str(error.value).rpartition("mv ")[2].split()
            assert Path(target) == place
            Path(kept).rename(target)
            recovered(root)
            assert members_of(root / ONE) == NEW_MEMBERS
    assert gaps == 4
