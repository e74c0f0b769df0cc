"""`recover`: what it makes of the survivors' directories, and what it says that it will."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from conductor.errors import ConfigError, Refused, StoreError, StoreLocked, StoreMismatch
from raft_state.bolt import open_database, write_database
from raft_state.node import LOG_FILE, SNAPSHOTS, STABLE_FILE, open_node
from raft_state.raft import (
    CONF,
    LOGS,
    EntryType,
    LogEntry,
    StableState,
    Suffrage,
    configuration_of,
    decode_command,
    encode_peers,
)
from raft_state.recover import Entries, parse_members, plan_recovery
from raft_state.recover.advice import next_steps
from raft_state.verify import Severity, verify_state
from tests.raft_state.backup_states import running, tree
from tests.raft_state.flawed_states import (
    add_snapshot,
    command,
    log_items,
    make_node,
    noop,
    payload,
    sets,
)
from tests.raft_state.recover_states import (
    BACKUP,
    MEMBERS_TEXT,
    NEW_MEMBERS,
    NOW,
    ONE,
    THREE,
    TWO,
    carry_out,
    entries,
    log_of,
    make_survivors,
    members_of,
    names_in,
    recovered,
    remove_log,
)

NOW_MS = int(NOW.timestamp() * 1000)


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk: whether something was synced is not what is looked at here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def test_log_becomes_a_snapshot_of_its_last_entry(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(7))
    stable = (tmp_path / ONE / STABLE_FILE).read_bytes()

    report = recovered(tmp_path)

    assert names_in(tmp_path / ONE) == [f"1-7-{NOW_MS}", LOG_FILE, STABLE_FILE, SNAPSHOTS]
    assert (tmp_path / ONE / STABLE_FILE).read_bytes() == stable
    with open_node(tmp_path / ONE) as node:
        assert node.problems == ()
        assert log_of(node).count == 0
        (snapshot,) = node.snapshots.usable
        assert (snapshot.meta.index, snapshot.meta.term) == (7, 1)
        assert snapshot.meta.configuration_index == 1
        assert snapshot.configuration == NEW_MEMBERS
        assert snapshot.read_state() == payload(7)
        assert snapshot.meta.peers == encode_peers(each.address for each in NEW_MEMBERS.servers)
    assert report.backup == BACKUP
    assert report.remarks == ()
    findings = verify_state(tmp_path).findings
    assert not any(each.severity is Severity.ERROR for each in findings)


def test_newest_payload_is_the_highest_one(tmp_path: Path) -> None:
    late = [command(4, payload(90)), command(5, payload(40)), command(6, b""), command(7, b"none")]
    make_survivors(tmp_path, [sets(1), noop(2), command(3), *late, noop(8)])

    recovered(tmp_path)

    with open_node(tmp_path / ONE) as node:
        (snapshot,) = node.snapshots.usable
        assert snapshot.meta.index == 8
        assert snapshot.payload().header == decode_command(payload(90)).header


def test_snapshot_and_log_behind_it_are_taken_together(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(9)[3:])
    add_snapshot(tmp_path / ONE, 4, configuration=NEW_MEMBERS)

    outlook = recovered(tmp_path).outlook

    assert outlook.source.certain_index == 4
    assert outlook.commits == Entries(5, 9)
    assert [name for name in names_in(tmp_path / ONE) if name[0].isdigit()] == [f"1-9-{NOW_MS}"]


def test_snapshot_alone_keeps_its_state(tmp_path: Path) -> None:
    make_survivors(tmp_path, [])
    add_snapshot(tmp_path / ONE, 20, unix_ms=NOW_MS + 7)

    outlook = recovered(tmp_path).outlook

    assert outlook.commits is None
    with open_node(tmp_path / ONE) as node:
        (snapshot,) = node.snapshots.listed
        assert snapshot.meta.snapshot_id == f"1-20-{NOW_MS + 8}"
        assert snapshot.read_state() == payload(20)
        assert snapshot.configuration == NEW_MEMBERS


def test_all_members_with_a_directory_get_the_same(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(7), entries(9), entries(4))

    outlook = recovered(tmp_path).outlook

    assert outlook.source.server_id == TWO
    assert [target.server_id for target in outlook.targets] == [ONE, TWO]
    one, two = (tree(tmp_path / name) for name in (ONE, TWO))
    for state in (one, two):
        del state[STABLE_FILE]
    assert one == two
    assert outlook.absent == ("sequencer-4",)
    assert outlook.bystanders == (THREE,)


def test_directory_of_a_former_member_stays_as_it_is(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(7), entries(9), entries(4))
    before = tree(tmp_path / THREE)

    outlook = recovered(tmp_path).outlook

    assert tree(tmp_path / THREE) == before
    assert any(f"Never start {THREE} on the state" in step for step in outlook.next_steps)


def test_voter_that_is_gone_is_not_to_come_back(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(7), entries(9))

    steps = plan_recovery(tmp_path, NEW_MEMBERS).outlook.next_steps

    assert any(f"Never start {THREE} on the state" in step for step in steps)


def test_state_can_come_from_a_former_member(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(7), entries(7), entries(12))
    before = tree(tmp_path / THREE)

    outlook = recovered(tmp_path).outlook

    assert outlook.source.server_id == THREE
    assert tree(tmp_path / THREE) == before
    assert members_of(tmp_path / ONE) == NEW_MEMBERS
    with open_node(tmp_path / ONE) as node:
        assert node.snapshots.usable[0].meta.index == 12


def test_term_rises_where_it_is_lower_than_that_of_the_state(tmp_path: Path) -> None:
    make_node(tmp_path, entries(7, term=4, since=5), stable=StableState(6, 5, b"b:1"))
    make_node(tmp_path, entries(5), server_id=TWO, stable=StableState(2, 2, b"a:1"))

    recovered(tmp_path)

    with open_node(tmp_path / ONE) as one, open_node(tmp_path / TWO) as two:
        assert one.stable == StableState(6, 5, b"b:1")
        assert two.stable == StableState(6, 2, b"a:1")


def test_higher_term_of_another_stays(tmp_path: Path) -> None:
    make_node(tmp_path, entries(7), stable=StableState(3))
    make_node(tmp_path, entries(5), server_id=TWO, stable=StableState(8, 8, b"a:1"))

    recovered(tmp_path)

    with open_node(tmp_path / ONE) as one, open_node(tmp_path / TWO) as two:
        assert one.stable == StableState(3)
        assert two.stable == StableState(8, 8, b"a:1")


@pytest.mark.parametrize("last_vote", [None, 9])
def test_without_a_payload_a_log_of_one_entry_is_written(
    tmp_path: Path, last_vote: int | None
) -> None:
    make_node(tmp_path, [sets(1), noop(2, 2), noop(3, 4)], stable=StableState(6, last_vote))
    make_node(tmp_path, [sets(1)], server_id=TWO, stable=StableState(9))

    outlook = recovered(tmp_path).outlook

    assert not outlook.is_snapshot
    for name in (ONE, TWO):
        assert names_in(tmp_path / name) == [LOG_FILE, STABLE_FILE]
        with open_node(tmp_path / name) as node:
            (stored,) = log_of(node).entries()
            assert stored.decoded is not None
            entry = stored.decoded.entry
            assert (stored.index, entry.index, entry.term) == (1, 1, 9)
            assert entry.type == EntryType.CONFIGURATION
            assert configuration_of(entry) == NEW_MEMBERS
            assert node.stable is not None
            assert node.stable.current_term == 9


def test_legacy_entries_are_applied_as_raft_applies_them(tmp_path: Path) -> None:
    peers = LogEntry(1, 1, EntryType.ADD_PEER, encode_peers(["10.0.0.1:1"]))
    old_payload = b"\x01" + payload(3)[32:]
    make_survivors(tmp_path, [peers, command(2, old_payload), command(3), noop(4)])

    outlook = recovered(tmp_path, source_id=ONE).outlook

    assert outlook.source.certain_index == 1
    with open_node(tmp_path / ONE) as node:
        assert node.snapshots.usable[0].read_state() == payload(3)


def test_one_nodes_directory_is_enough(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(7), entries(9))
    before = tree(tmp_path / TWO)

    outlook = recovered(tmp_path / ONE).outlook

    assert outlook.source.server_id == ONE
    assert tree(tmp_path / TWO) == before
    assert outlook.absent == (TWO, "sequencer-4")
    (quorum,) = (text for text in outlook.warnings if "of 3 voters" in text)
    assert f"2 of 3 voters are not here ({TWO}, {THREE})" in quorum


def test_majority_of_the_voters_is_not_warned_about(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(7), entries(9))

    assert plan_recovery(tmp_path, NEW_MEMBERS).outlook.warnings == ()


def test_strangers_links_and_owners_stay(tmp_path: Path) -> None:
    make_survivors(tmp_path / "real", entries(7))
    directory = tmp_path / "real" / ONE
    (directory / "lost+found").mkdir()
    (directory / LOG_FILE).chmod(0o640)
    directory.chmod(0o700)
    (tmp_path / "link").symlink_to("real")

    recovered(tmp_path / "link")

    assert "lost+found" in names_in(directory)
    assert (directory / LOG_FILE).stat().st_mode & 0o777 == 0o640
    assert (directory / STABLE_FILE).stat().st_mode & 0o777 == 0o640
    assert directory.stat().st_mode & 0o777 == 0o700


def test_page_size_stays(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(4))
    path = tmp_path / ONE / LOG_FILE
    buckets = {LOGS: log_items(entries(4)), CONF: ()}
    write_database(path, buckets, page_bytes=16384, replace=True)

    recovered(tmp_path)

    with open_database(path) as database:
        assert database.page_bytes == 16384


def test_owner_that_cannot_be_given_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_survivors(tmp_path, entries(4))
    monkeypatch.setattr("raft_state.recover.files.give", lambda *_: False)

    (remark,) = recovered(tmp_path).remarks

    assert str(tmp_path / ONE) in remark
    assert "chown" in remark


def test_plan_changes_nothing(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(7), entries(9))
    before = tree(tmp_path)

    plan_recovery(tmp_path, NEW_MEMBERS)

    assert tree(tmp_path) == before


def test_backup_comes_before_everything(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(7))
    before = tree(tmp_path)
    plan = plan_recovery(tmp_path, NEW_MEMBERS)

    def save() -> Path:
        assert tree(tmp_path) == before
        raise StoreError("no room for a backup")

    with pytest.raises(StoreError, match="no room"):
        carry_out(plan, save=save)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", [LOG_FILE, STABLE_FILE])
def test_conductor_that_runs_is_not_disturbed(tmp_path: Path, name: str) -> None:
    make_survivors(tmp_path, entries(7), entries(7), entries(7))
    descriptor = os.open(tmp_path / THREE / name, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with pytest.raises(StoreLocked, match="stop the conductor"):
            plan_recovery(tmp_path, NEW_MEMBERS)
    finally:
        os.close(descriptor)


def test_conductor_that_started_after_the_plan_is_not_disturbed(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(7), entries(7))
    plan = plan_recovery(tmp_path, NEW_MEMBERS)
    before = tree(tmp_path)

    with running(tmp_path / TWO), pytest.raises(StoreLocked):
        carry_out(plan)
    assert tree(tmp_path) == before


def test_state_that_changed_after_the_plan_is_left_alone(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(7), entries(7))
    plan = plan_recovery(tmp_path, NEW_MEMBERS)
    add_snapshot(tmp_path / TWO, 6)
    before = tree(tmp_path)

    with pytest.raises(Refused, match="has changed since it was read"):
        carry_out(plan)
    assert tree(tmp_path) == before


def test_link_to_a_database_is_refused(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(7))
    (tmp_path / ONE / LOG_FILE).rename(tmp_path / "elsewhere.db")
    (tmp_path / ONE / LOG_FILE).symlink_to(tmp_path / "elsewhere.db")

    with pytest.raises(StoreMismatch, match=r"symbolic link.*move what it leads to here"):
        plan_recovery(tmp_path, NEW_MEMBERS)


def test_two_names_of_one_node_are_refused(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(7))
    (tmp_path / "again").symlink_to(ONE)

    with pytest.raises(StoreMismatch, match="take one away"):
        plan_recovery(tmp_path, NEW_MEMBERS)


def test_lost_log_is_recovered_from_the_snapshot_alone(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(9)[3:])
    add_snapshot(tmp_path / ONE, 4)
    remove_log(tmp_path / ONE)

    outlook = recovered(tmp_path).outlook

    assert any("only what is in the snapshot is recovered" in text for text in outlook.warnings)
    with open_node(tmp_path / ONE) as node:
        assert node.problems == ()
        assert node.snapshots.usable[0].meta.index == 4


def test_lost_stable_store_is_made_anew(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(7, term=3, since=6))
    (tmp_path / ONE / STABLE_FILE).unlink()

    outlook = recovered(tmp_path).outlook

    assert any("its term and vote cannot be read" in text for text in outlook.warnings)
    with open_node(tmp_path / ONE) as node:
        assert node.stable == StableState(3)


def test_voters_that_are_few_or_even_are_warned_about(tmp_path: Path) -> None:
    make_survivors(tmp_path, entries(7), entries(7))

    (one,) = plan_recovery(tmp_path, parse_members(MEMBERS_TEXT[:1])).outlook.warnings
    (two,) = plan_recovery(tmp_path, parse_members(MEMBERS_TEXT[:2])).outlook.warnings

    assert "one voter" in one
    assert "2 voters need 2 of them to agree" in two


def test_members_are_read_with_their_suffrage() -> None:
    found = parse_members(("a=[::1]:50050", "b=c=host.example:1"), ("b=c",))

    assert [(each.server_id, each.address, each.suffrage) for each in found.servers] == [
        ("a", "[::1]:50050", Suffrage.VOTER),
        ("b=c", "host.example:1", Suffrage.NONVOTER),
    ]


@pytest.mark.parametrize(
    ("members", "nonvoters", "sentence"),
    [
        ((), (), "--members is missing: name every member"),
        (("a=h:1", ""), (), "an empty item: is there a comma too many"),
        (("a",), (), "'a' is not id=host:port"),
        (("=h:1",), (), "'=h:1' is not id=host:port"),
        (("a=h",), (), "'h' names no port"),
        (("a/b=h:1",), (), "'a/b' has a path separator"),
        (("a=h:1", "a=h:2"), (), "'a' and 'a' are the same"),
        (("a=h:1", "A=h:2"), (), "'a' and 'A' are the same"),
        (("a=h:1", "b=H:1"), (), "'h:1' and 'H:1' are the same"),
        (("a=h:1",), ("b",), "--nonvoters: 'b' is not one of --members: a"),
        (("a=h:1",), ("a",), "--nonvoters names every member"),
        (("a=h", "b"), (), "2 things are wrong, nothing was changed"),
    ],
)
def test_members_that_raft_would_refuse_are_refused(
    members: tuple[str, ...], nonvoters: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(ConfigError) as error:
        parse_members(members, nonvoters)

    assert sentence in str(error.value)


def test_steps_name_every_machine_and_what_not_to_do() -> None:
    recovered_here = [Path("state/sequencer-1"), Path("state/sequencer-2")]
    steps = "\n".join(next_steps(Path("state"), NEW_MEMBERS, recovered_here, ["b"], ["c"]))

    assert "verify --state-dir state" in steps
    assert "On the machine of b, before anything starts there: empty or remove" in steps
    assert "a copy of state/sequencer-1" in steps
    assert "Never start c on the state that it has" in steps
    assert "If these are copies, replace the directories" in steps
    assert "--raft.bootstrap=false: sequencer-1 at 10.0.0.1:1" in steps
    assert "2 of 3 voters must be up" in steps
