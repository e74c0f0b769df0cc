"""`verify`, the log: each rule broken by a log that breaks that rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from raft_state.raft import (
    AppendedAt,
    Configuration,
    EntryForm,
    EntryType,
    LogEntry,
    Server,
    StableState,
    encode_entry,
    encode_peers,
    index_key,
)
from raft_state.verify import Rule, Severity, verify_state
from tests.raft_state.flawed_states import (
    ID,
    IDS,
    MEMBERS,
    SOUND,
    SSZ,
    add_snapshot,
    broken_rules,
    command,
    make_node,
    members,
    noop,
    payload,
    rules_of,
    sets,
)


@dataclass(frozen=True)
class Flaw:
    """A log, and all the rules that it breaks."""

    entries: tuple[LogEntry, ...]
    rules: tuple[Rule, ...]
    items: Mapping[bytes, bytes] = field(default_factory=dict)
    """Put over the entries as they are."""
    current_term: int | None = 9
    snapshot: int = 0
    """Index of a snapshot; 0: none."""
    index: int | None = None
    """That the first of the findings names."""


def value(entry: LogEntry) -> bytes:
    """An entry as it is stored."""
    return encode_entry(entry)


def unlike(index: int, kind: int, data: bytes | None) -> LogEntry:
    """An entry of any type and data."""
    return LogEntry(index, 1, kind, data)


TWICE = Configuration((*MEMBERS.servers, Server("sequencer-4", MEMBERS.servers[0].address)))
ODD_SUFFRAGE = Configuration((*MEMBERS.servers, Server("sequencer-4", "d:1", 9)))
WITHOUT_ID = Configuration((*MEMBERS.servers, Server("", "d:1", 1)))

FLAWS: dict[str, Flaw] = {
    "key of 3 bytes": Flaw(SOUND, (Rule.LOG_KEY,), {b"\0\0\1": value(noop(1))}),
    "key of 9 bytes": Flaw(SOUND, (Rule.LOG_KEY,), {b"\xff" * 9: value(noop(1))}),
    "key 0": Flaw(SOUND, (Rule.LOG_INDEX_ZERO,), {index_key(0): value(noop(0))}, index=0),
    "value of nothing": Flaw(SOUND, (Rule.LOG_UNDECODABLE,), {index_key(3): b""}, index=3),
    "value cut off": Flaw(
        SOUND, (Rule.LOG_UNDECODABLE,), {index_key(3): value(SOUND[2])[:-1]}, index=3
    ),
    "another index inside": Flaw(SOUND, (Rule.LOG_INDEX,), {index_key(2): value(noop(7))}, index=2),
    "gap": Flaw((sets(1), noop(2), noop(4)), (Rule.LOG_GAP,), index=3),
    "gap of two, behind the snapshot": Flaw(
        (sets(1), noop(2), command(3), noop(6)), (Rule.LOG_GAP,), snapshot=3, index=4
    ),
    "gap that begins in the snapshot": Flaw(
        (sets(1), noop(2), noop(6)), (Rule.LOG_GAP,), snapshot=4, index=3
    ),
    "gap in the snapshot": Flaw(
        (sets(1), noop(2), noop(5)), (Rule.LOG_GAP_COVERED,), snapshot=4, index=3
    ),
    "start at 5": Flaw((sets(5), noop(6)), (Rule.LOG_START,), index=5),
    "start 2 behind the snapshot": Flaw((noop(6),), (Rule.LOG_START,), snapshot=4, index=6),
    "term 0": Flaw((sets(1, term=0), noop(2)), (Rule.LOG_TERM_ZERO,), index=1),
    "falling terms": Flaw(
        (sets(1), noop(2, 3), noop(3, 2), noop(4, 3)), (Rule.LOG_TERM_FALLS,), index=3
    ),
    "falling terms around a damaged entry": Flaw(
        (sets(1), noop(2, 3), noop(3), noop(4, 2)),
        (Rule.LOG_UNDECODABLE, Rule.LOG_TERM_FALLS),
        {index_key(3): b"?"},
    ),
    "last term above the current": Flaw(
        (sets(1), noop(2, 5)), (Rule.LOG_TERM_BEYOND_CURRENT,), current_term=4, index=2
    ),
    "no current term": Flaw(SOUND, (Rule.LOG_TERM_BEYOND_CURRENT,), current_term=None, index=4),
    "type 9": Flaw((*SOUND, unlike(5, 9, None)), (Rule.LOG_TYPE,), index=5),
    "bytes behind": Flaw(SOUND, (Rule.LOG_FORM,), {index_key(2): value(SOUND[1]) + b"\0"}, index=2),
    "unknown field": Flaw(
        SOUND, (Rule.LOG_FORM,), {index_key(2): b"\x87\xa1?\xc0" + value(SOUND[1])[1:]}, index=2
    ),
    "command without data": Flaw((*SOUND, command(5, b"")), (Rule.PAYLOAD_EMPTY,), index=5),
    "command with nil": Flaw(
        (*SOUND, unlike(5, EntryType.COMMAND, None)), (Rule.PAYLOAD_EMPTY,), index=5
    ),
    "command with rubbish": Flaw(
        (*SOUND, command(5, b"rubbish")), (Rule.PAYLOAD_UNDECODABLE,), index=5
    ),
    "command cut off in its transactions": Flaw(
        (*SOUND, command(5, payload(5)[:-3])), (Rule.PAYLOAD_UNDECODABLE,), index=5
    ),
    "payload of 2023": Flaw(
        (*SOUND, command(5, (SSZ / "legacy_v1_10.bin").read_bytes())),
        (Rule.PAYLOAD_LEGACY,),
        index=5,
    ),
    "height that stands": Flaw((*SOUND, command(5, payload(4))), (Rule.PAYLOAD_HEIGHT,), index=5),
    "height below the snapshot's": Flaw(
        (command(5, payload(2)),), (Rule.PAYLOAD_HEIGHT,), snapshot=4, index=5
    ),
    "members of rubbish": Flaw(
        (*SOUND, unlike(5, EntryType.CONFIGURATION, b"\xff")),
        (Rule.CONFIGURATION_UNDECODABLE,),
        index=5,
    ),
    "members of no data": Flaw(
        (*SOUND, unlike(5, EntryType.CONFIGURATION, None)),
        (Rule.CONFIGURATION_UNDECODABLE,),
        index=5,
    ),
    "old peers of rubbish": Flaw(
        (*SOUND, unlike(5, EntryType.REMOVE_PEER, b"\xff")),
        (Rule.CONFIGURATION_UNDECODABLE,),
        index=5,
    ),
    "address twice": Flaw((sets(1, TWICE),), (Rule.CONFIGURATION_INVALID,), index=1),
    "empty id": Flaw((sets(1, WITHOUT_ID),), (Rule.CONFIGURATION_INVALID,), index=1),
    "no voter": Flaw(
        (sets(1, members(nonvoters=IDS)),),
        (Rule.CONFIGURATION_INVALID, Rule.CONFIGURATION_SELF_NONVOTER),
        index=1,
    ),
    "no members": Flaw(
        (sets(1, members()),),
        (Rule.CONFIGURATION_INVALID, Rule.CONFIGURATION_WITHOUT_SELF),
        index=1,
    ),
    "address twice, mended": Flaw(
        (sets(1, TWICE), sets(2)),
        (Rule.CONFIGURATION_WAS_INVALID, Rule.CONFIGURATION_CHANGED),
        index=1,
    ),
    "no configuration": Flaw((noop(1),), (Rule.CONFIGURATION_MISSING,)),
    "not a member": Flaw(
        (sets(1, members("a", "b", "c")),), (Rule.CONFIGURATION_WITHOUT_SELF,), index=1
    ),
    "a nonvoter": Flaw(
        (sets(1, members("a", "b", "c", nonvoters=[ID])),),
        (Rule.CONFIGURATION_SELF_NONVOTER,),
        index=1,
    ),
    "suffrage 9": Flaw((sets(1, ODD_SUFFRAGE),), (Rule.CONFIGURATION_SUFFRAGE,), index=1),
    "two voters": Flaw((sets(1, members(ID, "b")),), (Rule.CONFIGURATION_VOTERS_EVEN,), index=1),
    "one voter": Flaw((sets(1, members(ID)),), (Rule.CONFIGURATION_VOTERS_ONE,), index=1),
    "one voter added": Flaw(
        (sets(1, members(ID, "b")), noop(2), sets(3, members(ID, "b", "c"))),
        (Rule.CONFIGURATION_CHANGED,),
        index=3,
    ),
    "two voters added": Flaw(
        (sets(1, members(ID)), noop(2), sets(3, members(ID, "b", "c"))),
        (Rule.CONFIGURATION_LEAP, Rule.CONFIGURATION_CHANGED),
        index=3,
    ),
    "two voters exchanged since the snapshot": Flaw(
        (sets(5, members(ID, "x", "y")),),
        (Rule.CONFIGURATION_LEAP, Rule.CONFIGURATION_CHANGED),
        snapshot=4,
        index=5,
    ),
    "one voter that makes all others voters": Flaw(
        (sets(1, members(ID, nonvoters=["b", "c"])), sets(2, members(ID, "b", "c"))),
        (Rule.CONFIGURATION_ENFORCED,),
        index=2,
    ),
    "one voter that makes the other a voter": Flaw(
        (sets(1, members(ID, nonvoters=["b"])), sets(2, members(ID, "b"))),
        (Rule.CONFIGURATION_ENFORCED, Rule.CONFIGURATION_VOTERS_EVEN),
        index=2,
    ),
    "one voter that makes others voters in a later term": Flaw(
        (sets(1, members(ID, nonvoters=["b", "c"])), sets(2, members(ID, "b", "c"), term=2)),
        (Rule.CONFIGURATION_LEAP, Rule.CONFIGURATION_CHANGED),
        index=2,
    ),
    "two voters that make two others voters": Flaw(
        (
            sets(1, members(ID, "b", nonvoters=["c", "d", "e"])),
            sets(2, members(ID, "b", "c", "d", "e")),
        ),
        (Rule.CONFIGURATION_LEAP, Rule.CONFIGURATION_CHANGED),
        index=2,
    ),
    "one voter that adds a nonvoter": Flaw(
        (sets(1, members(ID)), sets(2, members(ID, nonvoters=["b"]))),
        (Rule.CONFIGURATION_CHANGED, Rule.CONFIGURATION_VOTERS_ONE),
        index=2,
    ),
}


@pytest.mark.parametrize("name", FLAWS)
def test_flaw_of_the_log_is_found_and_nothing_else(name: str, tmp_path: Path) -> None:
    flaw = FLAWS[name]
    directory = make_node(
        tmp_path,
        flaw.entries,
        items=flaw.items.items(),
        stable=StableState(current_term=flaw.current_term),
    )
    if flaw.snapshot:
        add_snapshot(directory, flaw.snapshot)

    report = verify_state(directory)

    found = [finding for finding in report.findings if finding.rule != "snapshot-beyond-log"]
    assert {finding.rule for finding in found} == {rule.code for rule in flaw.rules}
    first = next(finding for finding in found if finding.rule == flaw.rules[0].code)
    assert (first.severity, first.server_id, first.place) == (
        flaw.rules[0].severity,
        ID,
        "raft-log.db",
    )
    assert flaw.index is None or first.index == flaw.index
    assert flaw.rules[0].meaning in first.text


def test_sound_log_has_no_finding(tmp_path: Path) -> None:
    report = verify_state(make_node(tmp_path))

    assert report.findings == ()
    (node,) = report.nodes
    assert (node.first_index, node.last_index, node.last_term) == (1, 4, 1)
    assert (node.entry_count, node.height, node.position) == (4, 4, (1, 4))


def test_every_form_that_a_release_wrote_is_sound(tmp_path: Path) -> None:
    at = AppendedAt(1_750_000_000, 5, zone_offset_s=7200)
    entries = [LogEntry(3, 1, EntryType.BARRIER, None, None, at), noop(4), noop(5)]
    forms = [EntryForm.CURRENT, EntryForm.UNTIMED, EntryForm.TIMESTAMP]
    items = {
        index_key(entry.index): encode_entry(entry, form)
        for entry, form in zip(entries, forms, strict=True)
    }

    assert not rules_of(make_node(tmp_path, SOUND[:2], items=items.items()))


def test_members_of_old_protocols_are_members(tmp_path: Path) -> None:
    peers = encode_peers(["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"])
    entries = [LogEntry(1, 1, EntryType.ADD_PEER, peers), noop(2)]

    assert not rules_of(make_node(tmp_path, entries, server_id="127.0.0.1:7001"))


@pytest.mark.parametrize("first", [1, 3, 5])
def test_log_may_start_anywhere_up_to_right_after_the_snapshot(first: int, tmp_path: Path) -> None:
    directory = make_node(tmp_path, [noop(index) for index in range(first, 9)])
    add_snapshot(directory, 4)

    assert not rules_of(directory)


def test_configuration_in_the_log_counts_only_behind_the_snapshot(tmp_path: Path) -> None:
    directory = make_node(tmp_path, [sets(1, members("gone")), noop(2), noop(3)])
    add_snapshot(directory, 2, configuration_index=1)

    report = verify_state(directory)

    assert report.findings == ()
    known = report.nodes[0].configuration
    assert known is not None
    assert known.configuration == MEMBERS
    assert known.place == "snapshots/1-2-1"


def test_snapshot_may_end_with_the_log_and_terms_may_rise_around_it(tmp_path: Path) -> None:
    log = [sets(1), noop(2, 2), noop(3, 3), noop(4, 4)]
    stable = StableState(current_term=4)
    ending = make_node(tmp_path / "a", log, stable=stable)
    add_snapshot(ending, 4, term=4)
    inside = make_node(tmp_path / "b", log, stable=stable)
    add_snapshot(inside, 3, term=3)

    assert not rules_of(ending)
    assert not rules_of(inside)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("value of nothing", "the entry at index 3 cannot be decoded"),
        ("gap", "index 3 is missing"),
        ("gap in the snapshot", "indexes 3 to 4 are missing"),
        ("no current term", "the stored current term is missing"),
        ("last term above the current", "term 5, the stored current term is 4"),
        ("two voters", "2 voters survive the loss of 0"),
        ("no members", "the members are none"),
        ("two voters added", "2 voters change at once (b, c)"),
        ("a nonvoter", f"{ID} at {ID}:50050 (Nonvoter)"),
    ],
)
def test_finding_says_what_was_seen(name: str, text: str, tmp_path: Path) -> None:
    flaw = FLAWS[name]
    directory = make_node(
        tmp_path,
        flaw.entries,
        items=flaw.items.items(),
        stable=StableState(current_term=flaw.current_term),
    )
    if flaw.snapshot:
        add_snapshot(directory, flaw.snapshot)

    assert any(text in finding.text for finding in verify_state(directory).findings)


def test_repeated_findings_are_counted_instead_of_listed(tmp_path: Path) -> None:
    entries = [sets(1), *(command(index, b"rubbish") for index in range(2, 102))]

    report = verify_state(make_node(tmp_path, entries))

    assert broken_rules(report) == {"payload-undecodable": 6}
    assert report.findings[-1].text.startswith("95 more findings")
    assert report.findings[-1].severity is Severity.WARNING


def test_long_names_do_not_make_long_findings(tmp_path: Path) -> None:
    long = Configuration((Server("x" * 100_000, "a:1"),))

    report = verify_state(make_node(tmp_path, [sets(1, long)]))

    assert report.findings
    assert all(len(finding.text) < 2000 for finding in report.findings)


def test_bytes_that_are_no_text_are_shown_as_numbers(tmp_path: Path) -> None:
    odd = Configuration((Server("\udcff\x1b[2J", "a:1"), *MEMBERS.servers))

    report = verify_state(make_node(tmp_path, [sets(1, members("x")), noop(2), sets(3, odd)]))

    assert all(finding.text.isprintable() for finding in report.findings)
    assert any("0xff1b5b324a" in finding.text for finding in report.findings)
