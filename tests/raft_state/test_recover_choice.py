"""`recover`: which survivor it takes, and when it refuses to take any."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from conductor.errors import NotFound, Refused, StoreDamaged, StoreError, StoreMismatch
from raft_state.bolt import write_database
from raft_state.node import LOG_FILE, STABLE_FILE
from raft_state.raft import CONF, LOGS, EntryType, LogEntry, StableState
from raft_state.recover import Outlook, plan_recovery
from tests.raft_state.backup_states import set_byte
from tests.raft_state.flawed_states import (
    add_snapshot,
    command,
    log_items,
    make_node,
    members,
    noop,
    payload,
    sets,
)
from tests.raft_state.recover_states import NEW_MEMBERS, ONE, THREE, TWO, entries, make_survivors


def outlook_of(root: Path, source_id: str | None = None) -> Outlook:
    return plan_recovery(root, NEW_MEMBERS, source_id=source_id).outlook


@pytest.mark.parametrize(
    ("logs", "winner"),
    [
        (([7], [9], [8]), TWO),
        (([9], [7, 2, 7], [8]), TWO),
        (([7], [7], [7]), ONE),
        (([7, 2, 6], [7, 3, 7], [9]), TWO),
        (([3], [], [4]), THREE),
    ],
)
def test_highest_last_term_wins_then_the_highest_index(
    tmp_path: Path, logs: tuple[list[int], ...], winner: str
) -> None:
    """Each log is given by its last index, and perhaps a term and where that begins."""
    for name, log in zip((ONE, TWO, THREE), logs, strict=True):
        term, since = log[1:] or (1, 0)
        made = entries(log[0], term=term, since=since) if log else []
        make_node(tmp_path, made, server_id=name, stable=StableState(9))

    assert outlook_of(tmp_path).source.server_id == winner


def test_position_is_that_of_the_snapshot_where_the_log_ends_before_it(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(7), entries(4))
    add_snapshot(tmp_path / TWO, 9)

    source = outlook_of(tmp_path, TWO).source

    assert (source.server_id, source.position) == (TWO, (1, 9))


def test_tail_of_an_old_leader_is_lost_and_said(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(7, term=2, since=6), entries(9))

    outlook = outlook_of(tmp_path)

    (found,) = outlook.divergences
    assert outlook.source.server_id == ONE
    assert (found.server_id, found.dropped_first, found.dropped_last) == (TWO, 6, 9)
    (warning,) = outlook.warnings
    assert f"{TWO} diverges from {ONE}: its entries 6 to 9" in warning


def test_entries_that_a_named_source_lacks_are_said(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(5), entries(9))

    outlook = outlook_of(tmp_path, ONE)

    (found,) = outlook.divergences
    assert (found.dropped_first, found.dropped_last, found.contradiction) == (6, 9, "")


def test_snapshot_that_another_log_contradicts_is_a_divergence(tmp_path: Path) -> None:
    make_survivors(tmp_path, [], entries(9))
    add_snapshot(tmp_path / ONE, 8, term=2)

    (found,) = outlook_of(tmp_path).divergences

    assert (found.dropped_first, found.dropped_last) == (8, 9)


def other_content(root: Path) -> None:
    make_survivors(root, entries(7), [*entries(4), command(5, payload(50)), *entries(7)[5:]])


def other_type(root: Path) -> None:
    make_survivors(root, entries(7), [*entries(6), noop(7)])


def agreement_after_a_split(root: Path) -> None:
    one = [*entries(4), noop(5, 2), noop(6, 3), noop(7, 3)]
    other = [*entries(4), noop(5, 1), noop(6, 3), noop(7, 3)]
    make_survivors(root, one, other)


def snapshot_beyond_the_winner(root: Path) -> None:
    """It has a lower term and holds what is committed for sure."""
    make_survivors(root, entries(7, term=3, since=6), [])
    add_snapshot(root / TWO, 9)


def certain_entries_replaced(root: Path) -> None:
    """Two configurations behind each other: up to the first of them all was committed."""
    other = [*entries(4), sets(5), sets(6)]
    make_survivors(root, entries(7, term=3, since=4), other)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (other_content, "entries at index 5 are both of term 1 and differ in data"),
        (other_type, "entries at index 7 are both of term 1 and differ in type"),
        (agreement_after_a_split, "differ in term at index 5 and agree again at 6"),
        (snapshot_beyond_the_winner, "entries 8 to 9 of sequencer-2 are committed for sure"),
        (certain_entries_replaced, "entries 4 to 5 of sequencer-2 are committed for sure"),
    ],
)
def test_survivors_that_no_history_leaves_are_refused_unless_one_is_named(
    tmp_path: Path, make: Callable[[Path], None], sentence: str
) -> None:
    make(tmp_path)

    with pytest.raises(Refused) as error:
        outlook_of(tmp_path)

    assert sentence in str(error.value)
    assert "name with --from the one whose state shall hold" in str(error.value)
    warnings = outlook_of(tmp_path, ONE).warnings
    assert any("not what one history leaves" in text and sentence in text for text in warnings)


def hole(root: Path) -> None:
    make_survivors(root, [*entries(5), *entries(9)[6:]], entries(4))


def late_beginning(root: Path) -> None:
    make_survivors(root, entries(9)[2:], entries(4))


def unknown_type(root: Path) -> None:
    make_survivors(root, [*entries(5), LogEntry(6, 1, 9)], entries(4))


def unreadable_snapshot_payload(root: Path) -> None:
    make_survivors(root, [noop(10), noop(11)], entries(4))
    add_snapshot(root / ONE, 9, state=b"\x01" + payload(9)[32:])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (hole, "entry 6 is missing and 7 is there"),
        (late_beginning, "begins at entry 3, and there is no snapshot of what was before"),
        (unknown_type, "entry 6 is of type 9"),
        (unreadable_snapshot_payload, "the state of its snapshot is no payload"),
    ],
)
def test_most_advanced_that_cannot_be_recovered_from_is_refused(
    tmp_path: Path, make: Callable[[Path], None], sentence: str
) -> None:
    make(tmp_path)

    with pytest.raises(StoreDamaged) as error:
        outlook_of(tmp_path)

    assert sentence in str(error.value)
    assert f"name another with --from, at the price of what it lacks: {TWO} (entry 4" in str(
        error.value
    )
    assert outlook_of(tmp_path, TWO).source.server_id == TWO


def damaged_database(root: Path) -> None:
    make_survivors(root, entries(9), entries(4))
    for page in (0, 1):
        set_byte(root / ONE / LOG_FILE, page * 4096 + 20)


def undecodable_last_entry(root: Path) -> None:
    items = {9: b"\xc1"}
    directory = make_node(root, entries(8), stable=StableState(5))
    both = [
        *log_items(entries(8)),
        *((index.to_bytes(8, "big"), data) for index, data in items.items()),
    ]
    write_database(directory / LOG_FILE, {LOGS: both, CONF: ()}, replace=True)
    make_node(root, entries(4), server_id=TWO)


def wrong_index(root: Path) -> None:
    make_node(root, entries(5), items=[((6).to_bytes(8, "big"), log_items([command(7)])[0][1])])
    make_node(root, entries(4), server_id=TWO)


def log_in_the_other_file(root: Path) -> None:
    directory = make_node(root, [], stable_buckets={LOGS: log_items(entries(5)), CONF: ()})
    assert (directory / STABLE_FILE).is_file()
    make_node(root, [], server_id=TWO)


@pytest.mark.parametrize(
    "make", [damaged_database, undecodable_last_entry, wrong_index], ids=lambda make: make.__name__
)
def test_position_that_is_not_known_is_not_guessed(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path)

    with pytest.raises(Refused, match=f"how far {ONE} had come.*name with --from") as error:
        outlook_of(tmp_path)

    assert f"{ONE} (not known), {TWO} (entry 4, term 1)" in str(error.value)
    outlook = outlook_of(tmp_path, TWO)
    assert outlook.source.server_id == TWO
    assert any(f"{ONE} cannot be compared whole" in text for text in outlook.warnings)
    with pytest.raises(StoreDamaged, match="nothing can be recovered from"):
        outlook_of(tmp_path, ONE)


def test_log_in_the_wrong_file_is_refused(tmp_path: Path) -> None:
    log_in_the_other_file(tmp_path)

    with pytest.raises(StoreError, match=r"not in raft-log.db, where Raft reads them"):
        outlook_of(tmp_path)


@pytest.mark.parametrize("source_id", [None, ONE])
def test_no_state_is_refused(tmp_path: Path, source_id: str | None) -> None:
    make_survivors(tmp_path, [])

    with pytest.raises(NotFound, match=f"no state to recover.*of {ONE}: .*generate"):
        outlook_of(tmp_path, source_id)


def test_source_without_a_state_beside_others_is_refused(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(4), [])

    with pytest.raises(NotFound, match=f"no state to recover.*of {TWO}"):
        outlook_of(tmp_path, TWO)


def test_unknown_source_is_refused(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(4), entries(4))

    with pytest.raises(
        NotFound, match=f"--from other: there is no such node here, only {ONE}, {TWO}"
    ):
        outlook_of(tmp_path, "other")


@pytest.mark.parametrize("inside", ["", "other"])
def test_members_that_are_none_of_the_folders_are_refused(tmp_path: Path, inside: str) -> None:
    directory = make_node(tmp_path, entries(4), server_id="other")

    with pytest.raises(NotFound, match=r"none of --members .*is here.*name the members by the ids"):
        outlook_of(directory if inside else tmp_path, "other")


def test_folder_of_another_servers_state_is_refused(tmp_path: Path) -> None:
    make_node(tmp_path, entries(4), server_id="sequencer-4")

    with pytest.raises(StoreMismatch, match=r"is not the state of 'sequencer-4'.*Call the folder"):
        outlook_of(tmp_path)
    assert outlook_of(tmp_path, "sequencer-4").source.server_id == "sequencer-4"


def test_folders_of_different_clusters_are_refused(tmp_path: Path) -> None:
    strangers = members("a", "b")
    make_node(tmp_path, entries(9))
    make_node(tmp_path, [sets(1, strangers), command(2)], server_id=TWO)

    with pytest.raises(StoreMismatch, match=r"are of different clusters.*take away"):
        outlook_of(tmp_path)
    assert outlook_of(tmp_path, ONE).source.server_id == ONE


def test_state_dir_without_nodes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="neither it nor a folder in it"):
        outlook_of(tmp_path)


def test_entry_types_are_all_known() -> None:
    """The highest of them bounds what is refused."""
    assert max(EntryType) == EntryType.CONFIGURATION
