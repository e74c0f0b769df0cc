"""Which payload of a Raft state a conductor begins with, from the log and the snapshot together."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from conductor.config import Config
from conductor.core.founding import RaftEnd
from conductor.core.values import BlockReference, Head, Height
from conductor.errors import StoreDamaged, StoreError
from conductor.migration import Beginning, read_beginning
from conductor.payload import encode, payload_header
from raft_state.node import newest_payload, open_node
from raft_state.raft import LogEntry
from tests.payload.builders import an_envelope
from tests.raft_state.flawed_states import (
    ID,
    IDS,
    MEMBERS,
    SSZ,
    add_snapshot,
    command,
    make_node,
    members,
    noop,
    payload,
    sets,
)

LEGACY = (SSZ / "legacy_v3_1.bin").read_bytes()


def begin(directory: Path) -> Beginning:
    return read_beginning(Config(server_id=ID), directory)


def head_of(ssz: bytes) -> Head:
    header = payload_header(ssz)
    block = BlockReference(Height(header.height), header.block_hash, header.parent_hash)
    return Head(block, hashlib.sha256(ssz).digest())


@pytest.mark.parametrize(
    ("log", "end", "height"),
    [
        ((sets(1),), (1, 1), None),
        ((sets(1), noop(2, term=3)), (3, 2), None),
        ((sets(1), command(2)), (1, 2), 2),
        ((sets(1), command(2), command(3, payload(70)), noop(4, term=2)), (2, 4), 70),
        ((sets(1), command(2), command(3, b""), noop(4)), (1, 4), 2),
        ((sets(1), command(2, b""), noop(3)), (1, 3), None),
        ((sets(1), command(2, LEGACY), command(3)), (1, 3), 3),
    ],
)
def test_last_payload_of_the_log_is_taken_over(
    tmp_path: Path, log: Sequence[LogEntry], end: tuple[int, int], height: int | None
) -> None:
    beginning = begin(make_node(tmp_path, log))

    head = head_of(payload(height)) if height is not None else None
    assert beginning.founding.raft_end == RaftEnd(*end, head)
    assert beginning.head == head
    assert beginning.payload == (payload(height) if height is not None else b"")
    assert beginning.remarks == ()


@pytest.mark.parametrize("file", ["envelope_v3_1.bin", "envelope_v4_1.bin"])
def test_payload_keeps_its_bytes(tmp_path: Path, file: str) -> None:
    """Also that of a V4 block which Go writes as V3: its withdrawals root is that of no tree."""
    ssz = (SSZ / file).read_bytes()

    assert begin(make_node(tmp_path, (sets(1), command(2, ssz)))).payload == ssz


def test_after_a_reorganisation_the_last_block_counts_and_not_the_highest(tmp_path: Path) -> None:
    """op-node was told of it last, and builds on it."""
    log = (sets(1), command(2, payload(100)), command(3, payload(101)), command(4, payload(99)))
    directory = make_node(tmp_path, log)

    beginning = begin(directory)

    assert beginning.payload == payload(99)
    (remark,) = beginning.remarks
    assert "goes on with block 99 after block 101" in remark
    with open_node(directory) as node:
        newest = newest_payload(node)
        assert newest is not None
        assert newest.header.height == 101


def test_last_of_two_blocks_of_one_height_counts(tmp_path: Path) -> None:
    """op-node was not answered, and built another in its place."""
    first = payload(100)
    second = first.replace(payload_header(first).block_hash, bytes(32))
    log = (sets(1), command(2, first), command(3, second))

    beginning = begin(make_node(tmp_path, log))

    assert beginning.payload == second
    assert beginning.remarks == ()


def test_command_that_nobody_could_read_is_passed_over_as_by_op_conductor(tmp_path: Path) -> None:
    log = (sets(1), command(2), command(3, b"rubbish"))

    beginning = begin(make_node(tmp_path, log))

    assert beginning.payload == payload(2)
    (remark,) = beginning.remarks
    assert "entry 3 is no payload" in remark


@pytest.mark.parametrize(
    ("log", "index", "problem"),
    [
        ((sets(1), command(2, LEGACY)), 2, "before 2024"),
        ((sets(1), command(2), command(3, LEGACY)), 3, "before 2024"),
        ((sets(1), command(2, b"rubbish"), noop(3)), 2, "7 bytes"),
    ],
)
def test_newest_payload_that_op_conductor_does_not_read_is_refused(
    tmp_path: Path, log: Sequence[LogEntry], index: int, problem: str
) -> None:
    directory = make_node(tmp_path, log)

    with pytest.raises(StoreError, match=f"entry {index} holds the newest payload") as refusal:
        begin(directory)

    assert problem in str(refusal.value)
    assert "Let a Go op-conductor of today commit a block first" in str(refusal.value)
    assert str(directory) in str(refusal.value)


def test_payload_whose_transactions_are_damaged_is_refused(tmp_path: Path) -> None:
    ssz = bytearray(encode(an_envelope(transactions=(b"first", b"second"))))
    second_offset_at = ssz.index(b"first") - 4
    ssz[second_offset_at : second_offset_at + 4] = b"\xff" * 4
    directory = make_node(tmp_path, (sets(1), command(2, bytes(ssz))))

    with pytest.raises(StoreError, match=r"payload in entry 2: transactions\[1\]"):
        begin(directory)


# Snapshots


TAIL = tuple(command(index) for index in range(41, 46))


@pytest.mark.parametrize(
    ("log", "end", "height"),
    [
        ((), (1, 40), 40),
        (tuple(command(index) for index in range(35, 41)), (1, 40), 40),
        ((noop(41, term=2),), (2, 41), 40),
        (TAIL, (1, 45), 45),
        (tuple(command(index) for index in range(20, 46)), (1, 45), 45),
        ((sets(1), *(command(index) for index in range(2, 44))), (1, 43), 43),
        (tuple(command(index) for index in range(20, 30)), (1, 40), 40),
    ],
    ids=[
        "nothing else",
        "a log that ends with it",
        "a leader since",
        "a log behind it",
        "a log over it",
        "the whole log",
        "a log that ends before it",
    ],
)
def test_snapshot_and_log_are_read_together(
    tmp_path: Path, log: Sequence[LogEntry], end: tuple[int, int], height: int
) -> None:
    directory = make_node(tmp_path, log)
    add_snapshot(directory, 40)

    beginning = begin(directory)

    assert beginning.founding.raft_end == RaftEnd(*end, head_of(payload(height)))
    assert beginning.payload == payload(height)
    assert [voter.server_id for voter in beginning.founding.voters] == sorted(IDS)


def test_members_are_those_of_the_snapshot_or_of_what_came_after_it(tmp_path: Path) -> None:
    other = members(ID, "sequencer-9")
    directory = make_node(tmp_path / "one", TAIL)
    add_snapshot(directory, 40, configuration=other)
    assert [voter.server_id for voter in begin(directory).founding.voters] == [ID, "sequencer-9"]

    directory = make_node(tmp_path / "two", (*TAIL, sets(46, MEMBERS)))
    add_snapshot(directory, 40, configuration=other)
    assert [voter.server_id for voter in begin(directory).founding.voters] == sorted(IDS)


@pytest.mark.parametrize(
    "log", [(command(42),), (command(41), command(43)), (command(0), command(1))]
)
def test_log_with_a_gap_is_refused(tmp_path: Path, log: Sequence[LogEntry]) -> None:
    directory = make_node(tmp_path, log)
    add_snapshot(directory, 40)

    with pytest.raises(StoreDamaged, match="the log cannot be read"):
        begin(directory)


def test_snapshot_without_a_payload_is_refused(tmp_path: Path) -> None:
    directory = make_node(tmp_path, ())
    add_snapshot(directory, 40, state=LEGACY)

    with pytest.raises(StoreError, match=r"holds no payload that op-conductor can read: .*2024"):
        begin(directory)


def test_damaged_snapshot_is_refused(tmp_path: Path) -> None:
    directory = make_node(tmp_path, TAIL)
    add_snapshot(directory, 30)
    newest = add_snapshot(directory, 40)
    (newest / "state.bin").write_bytes(payload(39))

    with pytest.raises(StoreDamaged, match=r"snapshot 1-40-1: state\.bin has the checksum"):
        begin(directory)


@pytest.mark.parametrize("meta", [None, b"{"])
def test_snapshot_that_raft_would_pass_over_is_refused(tmp_path: Path, meta: bytes | None) -> None:
    """Without it Raft starts as if there had never been a payload."""
    directory = make_node(tmp_path, (sets(1),))
    snapshot = directory / "snapshots" / "1-1-1700000000000"
    snapshot.mkdir(parents=True)
    if meta is not None:
        (snapshot / "meta.json").write_bytes(meta)

    with pytest.raises(StoreDamaged, match=r"the snapshot 1-1-1700000000000: meta\.json"):
        begin(directory)


def test_reading_payloads_changes_nothing(tmp_path: Path) -> None:
    directory = make_node(tmp_path, TAIL)
    add_snapshot(directory, 40)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    begin(directory)

    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_beginning_does_not_show_its_payload(tmp_path: Path) -> None:
    """It goes into logs and errors of tests: megabytes of it help nobody."""
    beginning = begin(make_node(tmp_path, (sets(1), command(2))))

    assert len(repr(dataclasses.replace(beginning, payload=bytes(10_000)))) < 2_000
