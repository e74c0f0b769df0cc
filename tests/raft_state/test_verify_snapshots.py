"""`verify`, the snapshots: what Raft could not restore, and how a log has to fit to one."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from raft_state.raft import StableState, crc64, encode_peers
from raft_state.verify import Rule, Severity, verify_state
from tests.raft_state.flawed_states import (
    ID,
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

PEERS = base64.b64encode(
    encode_peers(["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"])
).decode()
LOG = (sets(1), noop(2), command(3), command(4), noop(5))

Spoil = Callable[[Path], None]
"""Changes a node whose only snapshot is this directory, of index 4."""


def in_meta(**changes: object) -> Spoil:
    """Change fields of meta.json."""

    def spoil(snapshot: Path) -> None:
        path = snapshot / "meta.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}) + "\n")

    return spoil


def with_state(state: bytes) -> Spoil:
    """Another state, with its right checksum and size."""

    def spoil(snapshot: Path) -> None:
        (snapshot / "state.bin").write_bytes(state)
        meta = json.loads((snapshot / "meta.json").read_text())
        meta["CRC"] = base64.b64encode(crc64(state).to_bytes(8, "big")).decode()
        meta["Size"] = len(state)
        (snapshot / "meta.json").write_text(json.dumps(meta))

    return spoil


def flip_state(snapshot: Path) -> None:
    """Change a bit of the state."""
    path = snapshot / "state.bin"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)


def cut_meta(snapshot: Path) -> None:
    """meta.json as a full disk leaves it."""
    path = snapshot / "meta.json"
    path.write_bytes(path.read_bytes()[:50])


def rename(snapshot: Path) -> None:
    """Another folder name than meta.json says."""
    snapshot.rename(snapshot.with_name("1-4-2"))


def add_older(snapshot: Path) -> None:
    """A second snapshot, older by its numbers and newer by its text."""
    add_snapshot(snapshot.parent.parent, 3, unix_ms=9)


FLAWS: dict[str, tuple[Spoil, tuple[Rule, ...]]] = {
    "bit of the state": (flip_state, (Rule.SNAPSHOT_UNUSABLE,)),
    "state missing": (lambda at: (at / "state.bin").unlink(), (Rule.SNAPSHOT_UNUSABLE,)),
    "another checksum": (in_meta(CRC="AAAAAAAAAAA="), (Rule.SNAPSHOT_UNUSABLE,)),
    "no checksum": (in_meta(CRC=None), (Rule.SNAPSHOT_UNUSABLE,)),
    "another folder": (rename, (Rule.SNAPSHOT_UNUSABLE,)),
    "peers of rubbish": (
        in_meta(Version=0, Peers="/w=="),
        (Rule.SNAPSHOT_UNUSABLE, Rule.SNAPSHOT_VERSION_OLD),
    ),
    "meta.json cut off": (cut_meta, (Rule.SNAPSHOT_SKIPPED,)),
    "meta.json missing": (lambda at: (at / "meta.json").unlink(), (Rule.SNAPSHOT_SKIPPED,)),
    "version 2": (in_meta(Version=2), (Rule.SNAPSHOT_SKIPPED,)),
    "another size": (in_meta(Size=1), (Rule.SNAPSHOT_ODD,)),
    "no state": (with_state(b""), (Rule.SNAPSHOT_STATE_EMPTY,)),
    "state of rubbish": (with_state(b"rubbish"), (Rule.SNAPSHOT_STATE_UNDECODABLE,)),
    "state cut off": (with_state(payload(4)[:-1]), (Rule.SNAPSHOT_STATE_UNDECODABLE,)),
    "state of 2023": (
        with_state((SSZ / "legacy_v1_10.bin").read_bytes()),
        (Rule.SNAPSHOT_STATE_LEGACY,),
    ),
    "members of later": (
        in_meta(ConfigurationIndex=5),
        (Rule.SNAPSHOT_CONFIGURATION_INDEX,),
    ),
    "another term than the entry": (
        in_meta(Term=2),
        (Rule.SNAPSHOT_TERM,),
    ),
    "term above the current": (
        in_meta(Term=12),
        (Rule.SNAPSHOT_TERM_BEYOND_CURRENT, Rule.SNAPSHOT_TERM),
    ),
    "version 0": (
        in_meta(Version=0, Configuration=None, Peers=PEERS),
        (Rule.SNAPSHOT_VERSION_OLD, Rule.CONFIGURATION_WITHOUT_SELF),
    ),
    "one more": (add_older, (Rule.SNAPSHOT_SEVERAL,)),
    "beyond the log": (in_meta(Index=9, ID="1-4-1"), (Rule.SNAPSHOT_BEYOND_LOG,)),
    "unfinished": (
        lambda at: (at.parent / "1-5-1.tmp").mkdir(),
        (Rule.SNAPSHOT_LEFTOVER,),
    ),
    "plain file": (
        lambda at: (at.parent / "permTest").touch(),
        (Rule.SNAPSHOT_LEFTOVER,),
    ),
    "members without a voter": (
        in_meta(Configuration={"Servers": [{"Suffrage": 1, "ID": ID, "Address": "a:1"}]}),
        (Rule.CONFIGURATION_INVALID, Rule.CONFIGURATION_SELF_NONVOTER),
    ),
}


@pytest.mark.parametrize("name", FLAWS)
def test_flaw_of_a_snapshot_is_found_and_nothing_else(name: str, tmp_path: Path) -> None:
    spoil, rules = FLAWS[name]
    directory = make_node(tmp_path, LOG, stable=StableState(current_term=9))
    spoil(add_snapshot(directory, 4))

    report = verify_state(directory)

    assert set(broken_rules(report)) == {rule.code for rule in rules}
    found = next(finding for finding in report.findings if finding.rule == rules[0].code)
    assert (found.severity, found.server_id) == (rules[0].severity, ID)
    assert rules[0].meaning in found.text


def test_snapshot_that_fits_its_log_is_sound(tmp_path: Path) -> None:
    directory = make_node(tmp_path, LOG)
    add_snapshot(directory, 4)

    report = verify_state(directory)

    assert report.findings == ()
    point = report.nodes[0].snapshot
    assert point is not None
    assert (point.index, point.term, point.height) == (4, 1, 4)


def test_snapshot_may_end_with_its_members(tmp_path: Path) -> None:
    directory = make_node(tmp_path, LOG)
    add_snapshot(directory, 4, configuration_index=4)

    assert not rules_of(directory)


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_state_of_every_readable_version_is_sound(version: str, tmp_path: Path) -> None:
    directory = make_node(tmp_path, LOG)
    add_snapshot(directory, 4, state=payload(4, f"envelope_{version}_10.bin"))

    assert not rules_of(directory)


def test_empty_log_behind_a_snapshot_is_as_a_repair_leaves_it(tmp_path: Path) -> None:
    directory = make_node(tmp_path, ())
    add_snapshot(directory, 4)

    report = verify_state(directory)

    assert broken_rules(report) == {"snapshot-beyond-log": 1}
    assert not report.has_errors
    assert report.nodes[0].position == (1, 4)


def test_log_that_lost_its_snapshots_cannot_start(tmp_path: Path) -> None:
    directory = make_node(tmp_path, [sets(5), noop(6)])
    snapshot = add_snapshot(directory, 4)
    assert not rules_of(directory)

    cut_meta(snapshot)

    assert rules_of(directory) == {"snapshot-skipped": 1, "log-start": 1}


def test_older_snapshot_counts_when_the_newest_cannot_be_read(tmp_path: Path) -> None:
    directory = make_node(tmp_path, [noop(4), noop(5)])
    add_snapshot(directory, 2)
    flip_state(add_snapshot(directory, 5))

    report = verify_state(directory)

    assert broken_rules(report) == {
        "snapshot-unusable": 1,
        "log-start": 1,
        "snapshot-several": 1,
    }
    assert "the snapshot ends at 2" in report.findings[1].text


@pytest.mark.parametrize(("older", "newest"), [((9, 5), (10, 4)), ((9, 90), (9, 100))])
def test_newest_snapshot_is_so_by_number_and_not_by_text(
    older: tuple[int, int], newest: tuple[int, int], tmp_path: Path
) -> None:
    directory = make_node(tmp_path, (), stable=StableState(current_term=10))
    for term, index in (older, newest):
        add_snapshot(directory, index, term=term)

    point = verify_state(directory).nodes[0].snapshot

    assert point is not None
    assert (point.term, point.index) == newest


def test_members_of_version_0_are_its_peers(tmp_path: Path) -> None:
    directory = make_node(tmp_path, LOG, server_id="127.0.0.1:7001")
    in_meta(Version=0, Configuration=None, Peers=PEERS)(add_snapshot(directory, 4))

    assert rules_of(directory) == {"snapshot-version-old": 1}


def test_unreadable_folder_of_snapshots_is_a_finding(tmp_path: Path) -> None:
    directory = make_node(tmp_path, LOG)
    (directory / "snapshots").symlink_to("snapshots")

    report = verify_state(directory)

    assert broken_rules(report) == {Rule.FILE_UNREADABLE.code: 1}
    assert report.findings[0].severity is Severity.ERROR


def test_members_of_the_snapshot_are_judged_when_none_follow(tmp_path: Path) -> None:
    directory = make_node(tmp_path, [noop(5)])
    add_snapshot(directory, 4, configuration=members("x", "y", "z"))

    report = verify_state(directory)

    assert broken_rules(report) == {"configuration-without-self": 1}
    assert report.findings[0].place == "snapshots/1-4-1"
