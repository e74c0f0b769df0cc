"""Payloads out of state directories: the bytes that were stored, and where they are from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from conductor.errors import InvalidArgument, NotFound, Refused, StoreDamaged, StoreLocked
from conductor.payload import decode, encode, ssz_from_json
from raft_state.export import Choice, FoundPayload, PayloadFormat, find_payload
from raft_state.node import LOG_FILE
from raft_state.raft import StableState
from tests.payload.builders import EMPTY_TRIE_ROOT, a_document
from tests.raft_state.backup_states import running, set_byte
from tests.raft_state.flawed_states import (
    ID,
    IDS,
    SSZ,
    add_snapshot,
    command,
    make_cluster,
    make_node,
    members,
    noop,
    payload,
    sets,
)

ONE, TWO, THREE = IDS


def newest(root: Path, *, height: int | None = None, index: int | None = None) -> FoundPayload:
    return find_payload(root, Choice(height, index))


def node_with(root: Path, data: bytes) -> Path:
    """A node whose newest payload is this one."""
    return make_node(root, [sets(1), command(2, data), noop(3)])


@pytest.mark.parametrize(
    "file",
    ["envelope_v3_1.bin", "envelope_v3_10.bin", "envelope_v4_1.bin", "envelope_v4_10.bin"],
)
def test_bytes_that_go_stored_come_out_as_they_are(tmp_path: Path, file: str) -> None:
    data = (SSZ / file).read_bytes()

    found = newest(node_with(tmp_path, data))

    assert found.encoded(PayloadFormat.SSZ) == data
    assert ssz_from_json(found.encoded(PayloadFormat.JSON)) == data
    assert found.version == int(file[10])
    assert found.height == int(file[12:-4])


@pytest.mark.parametrize("version", [3, 4])
def test_json_is_what_op_node_handed_in(tmp_path: Path, version: int) -> None:
    document = a_document(version, root="0x" + "11" * 32)

    found = newest(node_with(tmp_path, ssz_from_json(json.dumps(document).encode())))

    assert json.loads(found.encoded(PayloadFormat.JSON)) == document


def test_payload_with_the_root_of_an_empty_trie_is_exported_as_go_stored_it(tmp_path: Path) -> None:
    """As V3, which is how Go encodes it: the root is not among the bytes."""
    document = a_document(4, root="0x" + "11" * 32, withdrawalsRoot=EMPTY_TRIE_ROOT)
    handed_in = decode(ssz_from_json(json.dumps(document).encode()))
    assert handed_in.version == 4
    stored = encode(replace(handed_in, withdrawals_root=None))

    found = newest(node_with(tmp_path, stored))

    assert found.encoded(PayloadFormat.SSZ) == stored
    assert found.version == 3
    (note,) = found.notes
    assert "stores an Isthmus payload whose root is that of the empty trie as V3" in note
    del document["executionPayload"]["withdrawalsRoot"]
    assert json.loads(found.encoded(PayloadFormat.JSON)) == document


def test_v4_needs_no_note(tmp_path: Path) -> None:
    assert newest(node_with(tmp_path, payload(5))).notes == ()


def test_newest_is_the_highest_of_log_and_snapshot(tmp_path: Path) -> None:
    node = make_node(tmp_path, [command(8, payload(70)), command(9, payload(60)), noop(10)])
    add_snapshot(node, 7, term=1, state=payload(65))

    found = newest(node)

    assert (found.height, found.index, found.term) == (70, 8, 1)
    assert not found.is_from_snapshot
    assert not found.is_certain


def test_payload_of_the_snapshot_is_committed_for_sure(tmp_path: Path) -> None:
    node = make_node(tmp_path, [noop(8)])
    add_snapshot(node, 7, term=3, state=payload(65))

    found = newest(node)

    assert (found.height, found.index, found.term) == (65, 7, 3)
    assert found.is_from_snapshot
    assert found.is_certain
    assert newest(node, index=7) == newest(node, height=65) == found


def test_entries_up_to_the_configuration_before_the_newest_are_certain(tmp_path: Path) -> None:
    log = [sets(1), command(2), sets(3, members(ONE)), command(4), sets(5), command(6)]
    node = make_node(tmp_path, log)

    certain = [newest(node, index=index).is_certain for index in (2, 4, 6)]

    assert certain == [True, False, False]


def test_payload_of_a_height(tmp_path: Path) -> None:
    node = make_node(tmp_path, [sets(1), command(2, payload(70)), command(3, payload(71))])

    found = newest(node, height=70)

    assert (found.index, found.ssz) == (2, payload(70))


def test_entries_that_a_snapshot_holds_already_are_found_too(tmp_path: Path) -> None:
    node = make_node(tmp_path)
    add_snapshot(node, 4)

    found = newest(node, height=3)

    assert (found.index, found.is_certain) == (3, True)


def test_same_payload_twice_is_no_conflict(tmp_path: Path) -> None:
    node = make_node(tmp_path, [sets(1), command(2, payload(70)), command(3, payload(70))])

    assert newest(node, height=70).index == 2


def test_different_payloads_of_a_height_are_refused(tmp_path: Path) -> None:
    other = payload(70, "envelope_v3_1.bin")
    node = make_node(tmp_path, [sets(1), command(2, payload(70)), command(3, other)])

    with pytest.raises(Refused, match="in the entries 2, 3: choose one with --index"):
        newest(node, height=70)
    assert newest(node, index=3).ssz == other


def test_height_that_is_not_there_says_what_is(tmp_path: Path) -> None:
    node = make_node(tmp_path)
    add_snapshot(node, 4)

    with pytest.raises(NotFound) as error:
        newest(node, height=9)

    assert str(error.value) == (
        f"{ID} has no payload of height 9: its log has the entries 1 to 4, with payloads of the "
        "heights 3 to 4, its snapshot of entry 4 holds height 4"
    )


@pytest.mark.parametrize("index", [0, 9, 2**63, 2**64 - 1])
def test_entry_that_is_not_there_says_what_is(tmp_path: Path, index: int) -> None:
    with pytest.raises(NotFound, match=f"has no entry {index}: its log has the entries 1 to 4"):
        newest(make_node(tmp_path), index=index)


def test_index_beyond_all_numbers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="is not between 0 and"):
        newest(make_node(tmp_path), index=2**64)


def test_entry_of_another_type_holds_no_payload(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"entry 1 of sequencer-1 is a Configuration.*info"):
        newest(make_node(tmp_path), index=1)


def test_command_that_is_no_payload_is_told(tmp_path: Path) -> None:
    node = make_node(tmp_path, [sets(1), command(2, b"nothing"), command(3, b"")])

    for index in (2, 3):
        with pytest.raises(StoreDamaged, match=f"entry {index} of {ID} holds no payload"):
            newest(node, index=index)


def test_entry_that_cannot_be_decoded_is_told(tmp_path: Path) -> None:
    node = make_node(tmp_path, items=[((5).to_bytes(8, "big"), b"\xc1")])

    with pytest.raises(StoreDamaged, match=r"entry 5 of .* cannot be read: .*from another node"):
        newest(node, index=5)


def test_no_payload_at_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="holds no payload that op-conductor reads"):
        newest(make_node(tmp_path, [sets(1), noop(2)]))
    with pytest.raises(NotFound, match="its log is empty, and there is no snapshot"):
        newest(make_node(tmp_path, [], server_id=TWO), height=1)


@pytest.mark.parametrize("file", ["legacy_v1_10.bin", "legacy_v3_10.bin"])
def test_payload_of_before_2024_becomes_an_envelope(tmp_path: Path, file: str) -> None:
    data = (SSZ / file).read_bytes()
    node = node_with(tmp_path, data)

    found = newest(node, index=2)

    assert found.ssz == bytes(32) + data[1:]
    assert decode(found.ssz).height == 10
    (note,) = found.notes
    assert "in the format of before 2024" in note


def test_highest_of_all_nodes_is_taken(tmp_path: Path) -> None:
    make_cluster(tmp_path, [sets(1), command(2)], [sets(1), command(2), command(3)], [])

    found = newest(tmp_path)

    assert (found.server_id, found.height) == (TWO, 3)


def test_nodes_that_agree_are_one_answer(tmp_path: Path) -> None:
    make_cluster(tmp_path, [sets(1), command(2)], [sets(1), command(2), command(3)])

    assert newest(tmp_path, index=2).ssz == payload(2)
    assert newest(tmp_path, height=3).server_id == TWO


def test_nodes_that_do_not_agree_are_refused(tmp_path: Path) -> None:
    make_cluster(tmp_path, [sets(1), command(2)], [sets(1), command(2, payload(9))])

    with pytest.raises(Refused) as error:
        newest(tmp_path, index=2)

    assert f"{ONE} height 2 0x" in str(error.value)
    assert f"{TWO} height 9 0x" in str(error.value)
    assert "name one node's own directory" in str(error.value)


def test_damaged_log_is_no_missing_one(tmp_path: Path) -> None:
    node = make_node(tmp_path)
    for page in (0, 1):
        set_byte(node / LOG_FILE, page * 4096 + 20)

    with pytest.raises(StoreDamaged):
        newest(node)


def test_locked_node_is_told(tmp_path: Path) -> None:
    node = make_node(tmp_path, stable=StableState(1))

    with running(node), pytest.raises(StoreLocked, match="in use"):
        newest(node)


# Nodes that contradict each other

BLOCK_A, BLOCK_B = payload(70), payload(70, "envelope_v3_1.bin")


def test_log_of_the_higher_term_decides_and_says_what_it_drops(tmp_path: Path) -> None:
    stale = [sets(1), command(2, payload(60)), *(command(i, payload(60 + i)) for i in range(3, 9))]
    newer = [*stale[:2], noop(3, 2), command(4, payload(61), term=2)]
    make_cluster(tmp_path, stale, newer, newer)

    found = newest(tmp_path)

    assert (found.server_id, found.height, found.index) == (TWO, 61, 4)
    (warning,) = found.warnings
    assert warning.startswith(f"{ONE} height 68 0x")
    assert f"is not in the log of {TWO} (last entry 4, term 2)" in warning
    assert f"name the directory of {ONE} with --state-dir" in warning
    assert newest(tmp_path / ONE).height == 68


def test_payload_of_a_height_says_which_log_contradicts_it(tmp_path: Path) -> None:
    make_cluster(tmp_path, [sets(1), command(2, BLOCK_A)], [sets(1), noop(2, 2)])

    found = newest(tmp_path, height=70)

    assert found.server_id == ONE
    (warning,) = found.warnings
    assert f"is contradicted by {TWO} (last entry 2, term 2), whose entry is of term 2" in warning


def test_logs_that_end_alike_with_different_payloads_are_refused(tmp_path: Path) -> None:
    make_cluster(tmp_path, *([sets(1), command(2, data)] for data in (BLOCK_A, BLOCK_B, BLOCK_B)))

    with pytest.raises(Refused, match=f"{ONE} height 70 0x.*{TWO} height 70 0x.*--state-dir"):
        newest(tmp_path)


def test_shorter_log_of_the_same_term_that_differs_is_refused(tmp_path: Path) -> None:
    make_cluster(tmp_path, [sets(1), command(2, BLOCK_A), noop(3)], [sets(1), command(2, BLOCK_B)])

    with pytest.raises(Refused, match=f"{TWO} height 70 .* another entry than that of {ONE}"):
        newest(tmp_path)


def test_what_is_committed_for_sure_is_never_given_up(tmp_path: Path) -> None:
    make_cluster(tmp_path, [sets(1), noop(2, 2)], [sets(1), noop(2)])
    make_node(tmp_path, [sets(1), noop(2, 2), command(3, term=2)], server_id=THREE)
    add_snapshot(tmp_path / TWO, 2, state=BLOCK_A)

    with pytest.raises(Refused, match=f"{TWO} height 70 .*although it is committed for sure"):
        newest(tmp_path)


def test_leader_without_a_payload_is_no_silent_choice_of_another(tmp_path: Path) -> None:
    make_cluster(tmp_path, [sets(1), command(2)], [sets(1), noop(2, 2)])

    with pytest.raises(Refused, match=f"{TWO} .* whom Raft would let lead, and has no payload"):
        newest(tmp_path)


@pytest.mark.parametrize("compacted", [ONE, TWO])
def test_compacted_log_and_a_lagging_one_are_one_history(tmp_path: Path, compacted: str) -> None:
    log = [sets(1), noop(2), *(command(i) for i in range(3, 9))]
    make_cluster(tmp_path, log, log[:5])
    for file in (tmp_path / compacted).iterdir():
        file.unlink()
    (tmp_path / compacted).rmdir()
    make_node(tmp_path, [log[7]] if compacted == ONE else [log[4]], server_id=compacted)
    add_snapshot(tmp_path / compacted, 7 if compacted == ONE else 4)

    found = newest(tmp_path)

    assert (found.server_id, found.height, found.warnings) == (ONE, 8, ())


@pytest.mark.parametrize("height", [None, 4])
def test_damaged_node_of_several_says_whom_to_ask_instead(
    tmp_path: Path, height: int | None
) -> None:
    make_cluster(tmp_path, *([sets(1), command(2), noop(3), command(4)] for _ in IDS))
    for page in (0, 1):
        set_byte(tmp_path / ONE / LOG_FILE, page * 4096 + 20)

    with pytest.raises(StoreDamaged, match=f"without {ONE}.*--state-dir: that of {TWO} or {THREE}"):
        newest(tmp_path, height=height)
    assert newest(tmp_path / TWO, height=height).height == 4


def test_last_entry_that_cannot_be_read_may_be_of_the_newest_term(tmp_path: Path) -> None:
    make_cluster(tmp_path, [sets(1), command(2)])
    make_node(tmp_path, items=[((5).to_bytes(8, "big"), b"\xc1")], server_id=TWO)

    with pytest.raises(StoreDamaged, match=f"last entry of {TWO}, 5, cannot be read; to do with"):
        newest(tmp_path)
