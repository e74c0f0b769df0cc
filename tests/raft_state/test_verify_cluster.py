"""`verify`, all nodes together: what no node's directory shows alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from raft_state.node.side_by_side import COMPARED_BYTES, same_bytes
from raft_state.raft import (
    AppendedAt,
    Configuration,
    EntryForm,
    LogEntry,
    Server,
    StableState,
    encode_entry,
    index_key,
)
from raft_state.verify import Rule, verify_state
from tests.raft_state.flawed_states import (
    IDS,
    MEMBERS,
    SOUND,
    add_snapshot,
    broken_rules,
    command,
    log_items,
    make_cluster,
    make_node,
    members,
    noop,
    payload,
    rules_of,
    sets,
)

HIGH_TERM = StableState(current_term=9)

Make = Callable[[Path], object]


def moved(server_id: str, address: str) -> Configuration:
    """The members, one of them at another address."""
    return Configuration(
        tuple(
            Server(server_id, address) if server.server_id == server_id else server
            for server in MEMBERS.servers
        )
    )


def with_logs(*logs: tuple[LogEntry, ...]) -> Make:
    """Three nodes with these logs and a term that covers them."""

    def make(root: Path) -> None:
        for server_id, entries in zip(IDS, logs, strict=True):
            make_node(root, entries, server_id=server_id, stable=HIGH_TERM)

    return make


def with_terms(root: Path) -> None:
    """Three nodes, one of which has seen a later term."""
    for server_id, term in zip(IDS, (1, 1, 4), strict=True):
        make_node(root, server_id=server_id, stable=StableState(current_term=term))


def with_old_form(root: Path) -> None:
    """Three nodes, one of which was written by an old release."""
    make_cluster(root, SOUND, SOUND)
    items = [(index_key(entry.index), encode_entry(entry, EntryForm.UNTIMED)) for entry in SOUND]
    make_node(root, (), items=items, server_id=IDS[2])


def with_linked_folder(root: Path) -> None:
    """Three nodes, one of them under two names."""
    make_cluster(root, SOUND, SOUND, SOUND)
    (root / "sequencer-4").symlink_to(root / IDS[2])


def with_snapshots(root: Path) -> None:
    """Two snapshots of one entry with different states."""
    make_cluster(root, SOUND, SOUND, SOUND)
    for server_id, height in zip(IDS, (4, 4, 3), strict=True):
        add_snapshot(root / server_id, 4, state=payload(height))


FLAWS: dict[str, tuple[Make, tuple[Rule, ...]]] = {
    "other data": (
        with_logs(SOUND, SOUND, (*SOUND[:3], command(4, payload(5)))),
        (Rule.CLUSTER_ENTRY,),
    ),
    "other type": (
        with_logs(SOUND, (SOUND[0], command(2), *SOUND[2:]), SOUND),
        (Rule.CLUSTER_ENTRY,),
    ),
    "other extensions": (
        with_logs(
            SOUND, (SOUND[0], dataclasses.replace(SOUND[1], extensions=b"?"), *SOUND[2:]), SOUND
        ),
        (Rule.CLUSTER_ENTRY,),
    ),
    "other members": (
        with_logs(SOUND, SOUND, (sets(1, moved(IDS[0], "elsewhere:1")), *SOUND[1:])),
        (Rule.CLUSTER_ENTRY, Rule.CLUSTER_CONFIGURATION, Rule.CLUSTER_ADDRESS),
    ),
    "one address for two": (
        with_logs(
            (sets(1, members(*IDS)), noop(2)),
            (sets(1, members(*IDS)), noop(2)),
            (sets(1, members(*IDS)), noop(2), sets(3, moved(IDS[0], "elsewhere:1"))),
        ),
        (
            Rule.CONFIGURATION_CHANGED,
            Rule.CLUSTER_CONFIGURATION,
            Rule.CLUSTER_ADDRESS,
            Rule.CLUSTER_AHEAD,
        ),
    ),
    "other form": (with_old_form, (Rule.CLUSTER_FORM,)),
    "other time": (
        with_logs(
            SOUND, SOUND, (*SOUND[:3], dataclasses.replace(SOUND[3], appended_at=AppendedAt(5)))
        ),
        (Rule.CLUSTER_FORM,),
    ),
    "other history": (
        with_logs(SOUND, SOUND, (SOUND[0], noop(2, 0), *SOUND[2:])),
        (Rule.CLUSTER_HISTORY, Rule.LOG_TERM_ZERO, Rule.LOG_TERM_FALLS),
    ),
    "other tail": (
        with_logs((*SOUND, noop(5, 2), noop(6, 2)), (*SOUND, noop(5, 3)), (*SOUND, noop(5, 3))),
        (Rule.CLUSTER_TAIL, Rule.CLUSTER_AHEAD),
    ),
    "shorter log": (
        with_logs(SOUND, SOUND[:2], SOUND),
        (Rule.CLUSTER_AHEAD,),
    ),
    "empty log": (
        with_logs(SOUND, (), SOUND),
        (Rule.CLUSTER_AHEAD,),
    ),
    "node missing": (
        lambda root: make_cluster(root, SOUND, SOUND),
        (Rule.CLUSTER_NODE_MISSING,),
    ),
    "terms": (with_terms, (Rule.CLUSTER_TERMS,)),
    "folder twice": (with_linked_folder, (Rule.CLUSTER_ID, Rule.CONFIGURATION_WITHOUT_SELF)),
    "snapshots": (with_snapshots, (Rule.CLUSTER_SNAPSHOT,)),
}


@pytest.mark.parametrize("name", FLAWS)
def test_flaw_of_the_cluster_is_found_and_nothing_else(name: str, tmp_path: Path) -> None:
    make, rules = FLAWS[name]
    make(tmp_path)

    report = verify_state(tmp_path)

    assert set(broken_rules(report)) == {rule.code for rule in rules}
    own = next(rule for rule in rules if rule.code.startswith("cluster"))
    found = next(finding for finding in report.findings if finding.rule == own.code)
    assert (found.severity, found.server_id) == (own.severity, "")
    assert own.meaning in found.text


def test_equal_nodes_have_no_finding(tmp_path: Path) -> None:
    report = verify_state(make_cluster(tmp_path, SOUND, SOUND, SOUND))

    assert report.findings == ()
    assert [node.server_id for node in report.nodes] == list(IDS)


def test_nodes_that_kept_different_parts_of_one_log_agree(tmp_path: Path) -> None:
    log = [sets(1), *(command(index) for index in range(2, 9))]
    for server_id, first in zip(IDS, (1, 3, 5), strict=True):
        directory = make_node(tmp_path, log[first - 1 :], server_id=server_id)
        if first > 1:
            add_snapshot(directory, 4)

    assert not rules_of(tmp_path)


def test_most_recent_node_is_named_with_its_place(tmp_path: Path) -> None:
    with_logs(SOUND, (*SOUND, noop(5, 2)), (*SOUND, noop(5), noop(6)))(tmp_path)

    report = verify_state(tmp_path)

    (ahead,) = [finding for finding in report.findings if finding.rule == "cluster-ahead"]
    assert ahead.text.startswith("sequencer-2 is ahead with term 2 index 5; behind: sequencer-1")


def test_difference_is_told_with_its_index(tmp_path: Path) -> None:
    with_logs(SOUND, SOUND, (*SOUND[:3], command(4, payload(5) + b"")))(tmp_path)

    report = verify_state(tmp_path)

    found = [finding for finding in report.findings if finding.rule == "cluster-entry"]
    assert [finding.index for finding in found] == [4, 4]
    assert "sequencer-1 and sequencer-3" in found[0].text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("other data", f"differ in data ({len(payload(4))} and {len(payload(5))} bytes)"),
        ("other type", "differ in type (1 and 0)"),
        ("other extensions", "differ in extensions"),
    ],
)
def test_difference_is_told_with_what_it_is(name: str, text: str, tmp_path: Path) -> None:
    FLAWS[name][0](tmp_path)

    assert any(text in finding.text for finding in verify_state(tmp_path).findings)


def test_damage_of_one_node_leaves_the_others_comparable(tmp_path: Path) -> None:
    make_cluster(tmp_path, SOUND, (*SOUND[:3], command(4, payload(9))))
    make_node(tmp_path, SOUND, items=[(index_key(2), b"?")], server_id=IDS[2])

    report = verify_state(tmp_path)

    rules = broken_rules(report)
    assert rules["log-undecodable"] == 1
    assert rules["cluster-entry"] == 2


def test_long_values_are_compared_in_pieces() -> None:
    one = bytes(COMPARED_BYTES) + b"a"

    assert same_bytes(memoryview(one), memoryview(bytes(one)))
    assert not same_bytes(memoryview(one), memoryview(one[:-1] + b"b"))
    assert not same_bytes(memoryview(one), memoryview(one[:-1]))
    assert same_bytes(memoryview(b""), memoryview(b""))


def test_logs_without_keys_that_are_indexes_are_compared_by_the_rest(tmp_path: Path) -> None:
    make_cluster(tmp_path, SOUND, SOUND)
    make_node(tmp_path, SOUND, items=[(b"\1", log_items(SOUND)[0][1])], server_id=IDS[2])

    assert rules_of(tmp_path) == {"log-key": 1}
