"""`export-payload` and `diff` as operators use them: streams, files, and what they exit with."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from conductor.payload import json_from_ssz
from tests.raft_state.backup_states import running, set_byte
from tests.raft_state.conftest import OpConductorInit
from tests.raft_state.flawed_states import (
    ID,
    IDS,
    SOUND,
    SSZ,
    add_snapshot,
    command,
    make_cluster,
    make_node,
    noop,
    payload,
    sets,
)

ONE, TWO, _ = IDS
EXPORT = "export-payload --state-dir state"


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two nodes, equal but for an entry that only the second has."""
    monkeypatch.chdir(tmp_path)
    return make_cluster(tmp_path / "state", SOUND, [*SOUND, noop(5)])


def test_payload_goes_to_stdout_and_where_it_is_from_to_stderr(
    op_conductor_init: OpConductorInit,
) -> None:
    as_json, as_ssz = op_conductor_init(EXPORT), op_conductor_init(f"{EXPORT} --format ssz")

    assert as_json.stdout_bytes == json_from_ssz(payload(4)) + b"\n"
    assert as_ssz.stdout_bytes == payload(4)
    for result in (as_json, as_ssz):
        assert result.exit_code == 0
        assert result.stderr.startswith("Payload of height 4, 0x")
        assert (
            f"from the log of {TWO}: entry 4, term 1; not known whether it is committed"
            in result.stderr
        )


def test_file_is_new_private_and_whole(op_conductor_init: OpConductorInit) -> None:
    result = op_conductor_init(f"{EXPORT} --format ssz --out out.ssz")

    assert Path("out.ssz").read_bytes() == payload(4)
    assert stat.S_IMODE(Path("out.ssz").stat().st_mode) == 0o600
    assert result.stderr == ""
    assert result.stdout.endswith(f"Wrote {len(payload(4))} bytes of SSZ to out.ssz\n")


def test_file_that_is_there_is_replaced_only_if_asked_for(
    op_conductor_init: OpConductorInit,
) -> None:
    Path("out").write_text("mine")

    refused = op_conductor_init(f"{EXPORT} --out out")
    assert (refused.exit_code, Path("out").read_text()) == (5, "mine")
    assert "out exists already and is left as it is" in refused.stderr

    assert op_conductor_init(f"{EXPORT} --out out --force").exit_code == 0
    assert json.loads(Path("out").read_text())["executionPayload"]["blockNumber"] == "0x4"


def test_facts_for_programs(op_conductor_init: OpConductorInit, workplace: Path) -> None:
    add_snapshot(workplace / TWO, 5, state=payload(40))

    result = op_conductor_init(f"{EXPORT} --out out -o json")

    facts = json.loads(result.stdout)
    assert facts.pop("block_hash").startswith("0x")
    assert facts == {
        "server_id": TWO,
        "is_from_snapshot": True,
        "index": 5,
        "term": 1,
        "is_certain": True,
        "height": 40,
        "version": 4,
        "notes": [],
        "warnings": [],
        "format": "json",
        "out": "out",
        "size_bytes": Path("out").stat().st_size,
    }


def test_height_and_index_choose(op_conductor_init: OpConductorInit) -> None:
    for choice in ("--height 3", "--index 3"):
        result = op_conductor_init(f"{EXPORT} --format ssz {choice}")
        assert result.stdout_bytes == payload(3)


def test_note_says_what_a_v3_payload_may_be(op_conductor_init: OpConductorInit) -> None:
    data = (SSZ / "envelope_v3_10.bin").read_bytes()
    make_node(Path("v3"), [sets(1), command(2, data)])

    result = op_conductor_init(f"export-payload --state-dir v3/{ID}")

    assert "note: a V3 payload has no withdrawals root" in result.stderr


def test_running_conductors_payload(op_conductor_init: OpConductorInit, workplace: Path) -> None:
    with running(workplace / ONE, workplace / TWO):
        locked = op_conductor_init(EXPORT)
        live = op_conductor_init(f"{EXPORT} --live --format ssz")

    assert (locked.exit_code, locked.stdout_bytes) == (7, b"")
    assert live.stdout_bytes == payload(4)


def test_binary_is_kept_from_a_terminal(
    op_conductor_init: OpConductorInit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raft_state.cli.export_payload._is_terminal", lambda: True)

    result = op_conductor_init(f"{EXPORT} --format ssz")

    assert (result.exit_code, result.stdout_bytes) == (2, b"")
    assert "give --out FILE, send it to a file or a program, or use --format json" in result.stderr
    assert op_conductor_init(EXPORT).exit_code == 0


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        ("--height 3 --index 3", 2, "exclude each other: give one of them"),
        ("--height 9", 1, "has no payload of height 9: its log has the entries 1 to 4"),
        ("--index 2", 1, "info --type command shows those that may"),
        ("--index -1", 2, "-1 is not in the range"),
    ],
)
def test_refusals_of_an_export_are_sentences(
    op_conductor_init: OpConductorInit, options: str, code: int, sentence: str
) -> None:
    result = op_conductor_init(f"{EXPORT} {options}")

    assert (result.exit_code, result.stdout_bytes) == (code, b"")
    assert sentence in result.stderr


def test_difference_is_told_and_exits_with_one(op_conductor_init: OpConductorInit) -> None:
    result = op_conductor_init(f"diff state/{ONE} state/{TWO}")

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"A: state/{ONE}",
        f"B: state/{TWO}",
        f"{ONE} and {TWO}: they differ, 4 entries are equal",
        "  entry 5: only in B (Noop, term 1)",
        "they differ",
    ]


def test_all_kinds_of_differences_are_told(op_conductor_init: OpConductorInit) -> None:
    entries = [*SOUND[:2], command(3, term=2), *(noop(index, 2) for index in range(4, 7))]
    make_cluster(Path("other"), entries)
    add_snapshot(Path("other", ONE), 3)

    result = op_conductor_init("diff state other")

    lines = result.stdout.splitlines()
    assert f"{TWO}: only in A" in lines
    assert "  entries 3 to 4: differ in term (the first 1 and 2)" in lines
    assert "  entries 5 to 6: only in B (the first Noop, term 2)" in lines
    assert any(line.startswith("  snapshot: A has none; B has index 3, term 1") for line in lines)


def test_equal_states_exit_with_zero(op_conductor_init: OpConductorInit) -> None:
    result = op_conductor_init("diff state state")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "equal"


def test_difference_for_programs(op_conductor_init: OpConductorInit) -> None:
    result = op_conductor_init(f"diff -o json state/{ONE} state/{TWO}")

    document = json.loads(result.stdout)
    assert result.exit_code == 1
    assert not document["equal"]
    (node,) = document["nodes"]
    assert node["entries"] == [
        {"first": 5, "last": 5, "kind": "only in B", "detail": "Noop, term 1"}
    ]
    assert (node["a"], node["b"], node["equal"], node["equal_entries"]) == (ONE, TWO, False, 4)


def test_backup_of_running_nodes_is_compared_with_them(
    op_conductor_init: OpConductorInit, workplace: Path
) -> None:
    assert op_conductor_init("backup --state-dir state --backup-dir backups").exit_code == 0
    (backup,) = Path("backups").iterdir()

    with running(workplace / ONE, workplace / TWO):
        locked = op_conductor_init(f"diff {backup} state")
        live = op_conductor_init(f"diff --live {backup} state")

    assert locked.exit_code == 7
    assert live.exit_code == 0, live.stderr


def test_trouble_never_exits_like_a_difference(op_conductor_init: OpConductorInit) -> None:
    for page in (0, 1):
        set_byte(Path("state", TWO, "raft-log.db"), page * 4096 + 20)

    missing = op_conductor_init("diff state nothing")
    damaged = op_conductor_init("diff state state")
    incomplete = op_conductor_init("diff state")

    assert [each.exit_code for each in (missing, damaged, incomplete)] == [2, 7, 2]
    assert "no such directory" in missing.stderr
