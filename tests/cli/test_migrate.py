"""`op-conductor migrate`: what it says, to people and to programs, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conductor.cli.migrate_options import MIGRATE_VARIABLES, parse_nodes
from conductor.cli.run import KNOWN_VARIABLES
from conductor.errors import ConfigError
from conductor.exit_codes import ExitCode
from raft_state.raft import StableState
from tests.cli.conftest import OpConductor
from tests.raft_state.flawed_states import ID, command, make_node, payload, sets
from tests.stopped_clusters import StoppedStores, head_of, ssz_of


@pytest.fixture
def state(tmp_path: Path) -> Path:
    log = (sets(1), command(2, payload(70)))
    return make_node(tmp_path / "raft", log, stable=StableState(6, 6, b"sequencer-2"))


@pytest.fixture
def stores(tmp_path: Path) -> StoppedStores:
    stores = StoppedStores(tmp_path / "stores")
    log = stores.log().begin(7, stores.voter("b")).extend(ssz_of(101))
    stores.write("abc", log, certified=2)
    return stores


def data_dirs(stores: StoppedStores, names: str = "abc") -> list[str]:
    return [part for name in names for part in ("--data-dir", str(stores.directory(name)))]


def test_store_is_made_and_described(op_conductor: OpConductor, state: Path) -> None:
    data = state.parent.parent / "data"

    result = op_conductor(
        "migrate", "from-raft", "--state-dir", str(state), "--data-dir", str(data)
    )

    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    block_hash = head_of(payload(70)).block.block_hash.hex()
    assert lines[:4] == [
        "server: sequencer-1",
        "first epoch: 7",
        "initial leader: sequencer-2",
        f"newest block: 70, hash 0x{block_hash}, {len(payload(70))} bytes",
    ]
    assert "sequencer-3 sequencer-3:50050" in lines
    assert lines[-1] == f"made the store in {data}"
    assert f"op-conductor run --server-id sequencer-1 --data-dir {data}" in result.stderr
    assert (data / "store.db").exists()


def test_store_is_described_for_programs(op_conductor: OpConductor, state: Path) -> None:
    data = state.parent.parent / "data"
    arguments = ["--state-dir", str(state.parent), "--data-dir", str(data), "--dry-run"]

    result = op_conductor("migrate", "from-raft", *arguments, "--server-id", ID, "-o", "json")

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "made": False,
        "server_id": ID,
        "state_dir": str(state.parent),
        "data_dir": str(data),
        "voters": [
            {"server_id": f"sequencer-{n}", "grpc_address": f"sequencer-{n}:50050"}
            for n in (1, 2, 3)
        ],
        "first_epoch": 7,
        "initial_leader": "sequencer-2",
        "head": head_document(payload(70)),
        "remarks": [],
    }
    assert not data.exists()


def head_document(ssz: bytes) -> dict[str, object]:
    block = head_of(ssz).block
    return {
        "height": block.height,
        "block_hash": "0x" + block.block_hash.hex(),
        "parent_hash": "0x" + block.parent_hash.hex(),
        "payload_bytes": len(ssz),
    }


def test_remarks_are_told_beside_the_answer(op_conductor: OpConductor, tmp_path: Path) -> None:
    state = make_node(tmp_path / "raft", (sets(1), command(2), command(3, b"rubbish")))

    result = op_conductor(
        *("migrate", "from-raft", "--dry-run"),
        *("--state-dir", str(state), "--data-dir", str(tmp_path / "data")),
    )

    assert "note: entry 3 is no payload" in result.stderr
    assert "would make the store in" in result.stdout


@pytest.mark.parametrize(
    ("change", "code", "problem"),
    [
        ({"--state-dir": "nowhere"}, ExitCode.USAGE, "error: --state-dir nowhere: "),
        ({"--server-id": "sequencer-9"}, ExitCode.USAGE, "is the folder of 'sequencer-1'"),
        ({"--data-dir": "store"}, ExitCode.REFUSED, "error: store holds a store already"),
        ({"--server-id": "a b"}, ExitCode.USAGE, "error: --server-id: "),
    ],
)
def test_refusal_is_one_line_and_an_exit_code(
    op_conductor: OpConductor,
    state: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, str],
    code: ExitCode,
    problem: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    first = op_conductor("migrate", "from-raft", "--state-dir", str(state), "--data-dir", "store")
    assert first.exit_code == 0
    options = {"--state-dir": str(state), "--data-dir": "data", **change}

    result = op_conductor(
        "migrate", "from-raft", *(word for pair in options.items() for word in pair)
    )

    assert result.exit_code == code
    assert problem in result.stderr.splitlines()[0]
    assert not (tmp_path / "data").exists()


def test_raft_states_are_written_and_described(
    op_conductor: OpConductor, stores: StoppedStores, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    result = op_conductor(
        *("migrate", "to-raft", *data_dirs(stores), "--output-dir", str(out)),
        *("--nodes", "a=seq-1:1,b=seq-2:2", "--nodes", "c=seq-3:3"),
    )

    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[:2] == ["stores of: a, b, c", "term: 7"]
    assert lines[2].startswith("newest block: 101, hash 0x")
    assert f"b seq-2:2 Voter {out / 'b'}" in lines
    assert lines[-1] == f"wrote Raft states into {out}"
    assert f"1. Check what was written: op-conductor-init verify --state-dir {out}" in result.stderr
    assert (out / "c" / "raft-log.db").exists()


def test_raft_states_are_described_for_programs(
    op_conductor: OpConductor, stores: StoppedStores, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    result = op_conductor(
        *("migrate", "to-raft", *data_dirs(stores, "ab"), "--output-dir", str(out)),
        *("--dry-run", "-o", "json"),
    )

    document = json.loads(result.stdout)
    assert {name: document[name] for name in ("written", "term", "stores", "head", "index")} == {
        "written": False,
        "term": 7,
        "stores": ["a", "b"],
        "head": head_document(ssz_of(101)),
        "index": 2,
    }
    assert document["certified"] is True
    assert document["members"][0] == {
        "server_id": "a",
        "address": "host-a:18080",
        "suffrage": "Voter",
        "directory": str(out / "a"),
    }
    assert not out.exists()


def test_too_few_stores_are_refused(
    op_conductor: OpConductor, stores: StoppedStores, tmp_path: Path
) -> None:
    arguments = ("migrate", "to-raft", *data_dirs(stores, "a"), "--output-dir", str(tmp_path / "o"))

    result = op_conductor(*arguments)
    assert result.exit_code == ExitCode.REFUSED
    assert "--without-quorum" in result.stderr

    assert op_conductor(*arguments, "--without-quorum").exit_code == 0


def test_block_whose_fate_is_not_known_is_marked(op_conductor: OpConductor, tmp_path: Path) -> None:
    stores = StoppedStores(tmp_path / "stores")
    log = stores.log().begin(7, stores.voter("b")).extend(ssz_of(101))
    stores.write("a", log)

    result = op_conductor(
        "migrate", "to-raft", *data_dirs(stores), "--output-dir", str(tmp_path / "out")
    )

    assert "bytes, not known to be certified" in result.stdout
    assert "note: whether block 101 was certified is not known" in result.stderr


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("", {}),
        ("a=host:1", {"a": "host:1"}),
        ("a=host:1, b=[::1]:2,", {"a": "host:1", "b": "[::1]:2"}),
        ("127.0.0.1:8080=host:1", {"127.0.0.1:8080": "host:1"}),
        ("a=host:1,a=host:1", {"a": "host:1"}),
    ],
)
def test_nodes_are_read_as_addresses_by_server_id(text: str, addresses: dict[str, str]) -> None:
    assert parse_nodes(text) == addresses


@pytest.mark.parametrize("text", ["host:1", "a=", "=host:1", "a=host:1,a=host:2", "a b=host:1"])
def test_nodes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_nodes(text)


def test_variables_of_the_options_are_known_to_the_node() -> None:
    assert MIGRATE_VARIABLES <= KNOWN_VARIABLES
