"""`op-conductor-init verify` and `info`: flags, variables, what they print, and how they end."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from conductor.exit_codes import ExitCode
from raft_state.raft import Configuration, Server
from tests.raft_state.backup_states import running, tree
from tests.raft_state.conftest import OpConductorInit
from tests.raft_state.flawed_states import (
    GOLDEN,
    ID,
    IDS,
    SOUND,
    add_snapshot,
    command,
    make_cluster,
    make_node,
    noop,
    sets,
)

GEN3 = GOLDEN / "r173-bb139" / "gen3"
COMMANDS = ["verify", "info"]

Document = dict[str, Any]


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def generated(tmp_path: Path) -> Path:
    """What the original tool generates, where its README has it."""
    return Path(shutil.copytree(GEN3, tmp_path / "raft-state"))


# Both commands


@pytest.mark.parametrize(
    "line",
    [
        "verify --state-dir ./raft-state/sequencer-1",
        "info --state-dir ./raft-state/sequencer-1",
        "raft verify --state-dir ./raft-state/sequencer-1",
        "raft info --state-dir=./raft-state/sequencer-1",
    ],
)
def test_commands_of_the_original_show_term_vote_and_members(
    line: str, generated: Path, op_conductor_init: OpConductorInit
) -> None:
    result = op_conductor_init(line)

    assert result.exit_code == 0, result.output
    assert "current term" in result.stdout
    assert "vote recorded for sequencer-1 in term 1" in result.stdout
    assert "eader" not in result.stdout
    for name in IDS:
        assert f"{name}.ns.svc.cluster.local:50050" in result.stdout


@pytest.mark.parametrize("command_name", COMMANDS)
def test_state_dir_is_a_variable_too(
    command_name: str, generated: Path, op_conductor_init: OpConductorInit
) -> None:
    env = {"OP_CONDUCTOR_INIT_STATE_DIR": str(generated), "OP_CONDUCTOR_INIT_OUTPUT": "json"}
    result = op_conductor_init(command_name, env=env)

    assert result.exit_code == 0
    assert len(json.loads(result.stdout)["nodes"]) == 3
    assert result.stderr == ""


@pytest.mark.parametrize("command_name", COMMANDS)
def test_state_dir_is_required(command_name: str, op_conductor_init: OpConductorInit) -> None:
    result = op_conductor_init(command_name)

    assert result.exit_code == ExitCode.USAGE
    assert "--state-dir" in result.stderr


@pytest.mark.parametrize("command_name", COMMANDS)
@pytest.mark.parametrize("name", ["missing", "empty", "file"])
def test_wrong_directory_is_an_error_and_nothing_is_created(
    command_name: str, name: str, tmp_path: Path, op_conductor_init: OpConductorInit
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("text")
    before = tree(tmp_path)

    result = op_conductor_init(command_name, "--state-dir", str(tmp_path / name))

    assert result.exit_code == ExitCode.ERROR
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("command_name", COMMANDS)
def test_help_has_examples_and_exit_codes(
    command_name: str, op_conductor_init: OpConductorInit
) -> None:
    result = op_conductor_init(command_name, "--help")

    assert result.exit_code == 0
    assert f"op-conductor-init {command_name} --state-dir" in result.stdout
    assert "Exit codes: 0" in result.stdout


@pytest.mark.parametrize("command_name", COMMANDS)
def test_locked_node_ends_at_once_with_its_own_code(
    command_name: str, tmp_path: Path, op_conductor_init: OpConductorInit
) -> None:
    directory = make_node(tmp_path)
    with running(directory):
        result = op_conductor_init(command_name, "--state-dir", str(directory))

    assert result.exit_code == ExitCode.STORE_REFUSED
    assert "in use" in result.output or "uses the file" in result.output


@pytest.mark.parametrize("command_name", COMMANDS)
def test_live_node_is_read_through_a_copy_that_goes_away(
    command_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    op_conductor_init: OpConductorInit,
) -> None:
    make_cluster(tmp_path / "state", SOUND, SOUND, SOUND)
    add_snapshot(tmp_path / "state" / ID)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    before = tree(tmp_path)

    with running(*(tmp_path / "state" / name for name in IDS)):
        result = op_conductor_init(command_name, "--live", "--state-dir", "state", "-o", "json")

    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["state_dir"] == "state"
    assert [node["directory"] for node in document["nodes"]] == [f"state/{name}" for name in IDS]
    assert [node["current_term"] for node in document["nodes"]] == [1, 1, 1]
    assert tree(tmp_path) == before


@pytest.mark.parametrize("command_name", COMMANDS)
def test_live_copy_of_one_damaged_node_says_what_is_wrong(
    command_name: str, tmp_path: Path, op_conductor_init: OpConductorInit
) -> None:
    directory = make_node(tmp_path)
    (directory / "raft-stable.db").write_bytes(b"text\n" * 2000)

    result = op_conductor_init(command_name, "--live", "--state-dir", str(directory))

    assert (
        result.exit_code == {"verify": ExitCode.ERROR, "info": ExitCode.STORE_REFUSED}[command_name]
    )
    assert ID in result.stdout
    assert "magic" in result.stdout


@pytest.mark.parametrize("command_name", COMMANDS)
@pytest.mark.parametrize("output", ["table", "json"])
def test_nothing_in_a_file_can_steer_the_terminal(
    command_name: str, output: str, tmp_path: Path, op_conductor_init: OpConductorInit
) -> None:
    odd = Configuration((Server("\udcff\x1b[2J", "a\r\n:1"), Server(ID, "b:1")))
    directory = make_node(tmp_path, [sets(1, odd)])

    result = op_conductor_init(command_name, "--state-dir", str(directory), "-o", output)

    assert result.exit_code == 0
    assert all(line.isprintable() for line in result.stdout.split("\n"))


# verify


def test_sound_cluster_is_said_to_be_so(tmp_path: Path, op_conductor_init: OpConductorInit) -> None:
    make_cluster(tmp_path / "state", SOUND, SOUND, SOUND)

    result = op_conductor_init("verify --state-dir state")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "3 nodes verified: nothing found"


@pytest.mark.parametrize("mode", ["vote", "enforced"])
def test_what_generate_makes_is_sound(mode: str, op_conductor_init: OpConductorInit) -> None:
    made = op_conductor_init(
        "generate --nodes a:1,b:2,c:3,d:4 --server-ids w,x,y,z --initial-leader x --nonvoters z "
        f"--leader-mode {mode} --output-dir state"
    )
    assert made.exit_code == 0, made.output

    result = op_conductor_init("verify --state-dir state -o json")

    document = json.loads(result.stdout)
    assert (document["errors"], document["warnings"]) == (0, 0), document["findings"]
    rules = {finding["rule"] for finding in document["findings"]}
    assert ("configuration-enforced" in rules) == (mode == "enforced")


def test_each_finding_is_one_line_with_its_severity(
    tmp_path: Path, op_conductor_init: OpConductorInit
) -> None:
    make_node(tmp_path, [sets(1), noop(2), noop(4), command(5, b"?")])

    result = op_conductor_init("verify", "--state-dir", ID)

    assert result.exit_code == ExitCode.ERROR
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[2:-1]] == ["error", "warning"]
    assert lines[2].startswith(f"error   {ID} raft-log.db: index 3 is missing: ")
    assert lines[2].endswith("[log-gap]")
    assert lines[-1] == "1 node verified: 1 error, 1 warning, 0 infos"


def test_warnings_do_not_fail(tmp_path: Path, op_conductor_init: OpConductorInit) -> None:
    make_node(tmp_path, [sets(1), command(2, b"?")])

    assert op_conductor_init("verify", "--state-dir", ID).exit_code == 0


def test_verdict_as_json(tmp_path: Path, op_conductor_init: OpConductorInit) -> None:
    make_node(tmp_path, [sets(1), noop(2), noop(4)])

    result = op_conductor_init("verify", "--state-dir", ID, "-o", "json")

    assert result.exit_code == ExitCode.ERROR
    document = json.loads(result.stdout)
    assert (document["errors"], document["warnings"], document["infos"]) == (1, 0, 0)
    (finding,) = document["findings"]
    assert finding["rule"] == "log-gap"
    assert (finding["severity"], finding["server_id"]) == ("error", ID)
    assert (finding["place"], finding["index"], finding["page"]) == ("raft-log.db", 3, None)
    (node,) = document["nodes"]
    assert (node["first_index"], node["last_index"]) == (1, 4)


# info


def info_json(op_conductor_init: OpConductorInit, *arguments: str) -> Document:
    """What `info` says of a node as JSON."""
    result = op_conductor_init("info", "--state-dir", ID, "-o", "json", *arguments)
    assert result.exit_code == 0, result.output
    (node,) = json.loads(result.stdout)["nodes"]
    assert isinstance(node, dict)
    return node


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--index", "3"], [3]),
        (["--from", "3"], [3, 4]),
        (["--to", "2"], [1, 2]),
        (["--from", "2", "--to", "3"], [2, 3]),
        (["--type", "configuration"], [1]),
        (["--type", "Noop, CONFIGURATION"], [1, 2]),
        (["--limit", "2"], [1, 4]),
        (["--limit", "0"], [1, 2, 3, 4]),
        (["--index", "9"], []),
    ],
)
def test_entries_are_chosen_by_flags(
    arguments: list[str], expected: list[int], tmp_path: Path, op_conductor_init: OpConductorInit
) -> None:
    make_node(tmp_path)

    entries = info_json(op_conductor_init, *arguments)["log"]["entries"]

    assert [row["index"] for row in entries["rows"]] == expected
    assert entries["left_out"] == entries["matching"] - len(expected)


def test_entries_are_chosen_by_variables(
    tmp_path: Path, op_conductor_init: OpConductorInit
) -> None:
    make_node(tmp_path)
    env = {
        "OP_CONDUCTOR_INIT_STATE_DIR": ID,
        "OP_CONDUCTOR_INIT_FROM_INDEX": "2",
        "OP_CONDUCTOR_INIT_TO": "4",
        "OP_CONDUCTOR_INIT_TYPE": "command,noop",
        "OP_CONDUCTOR_INIT_LIMIT": "2",
        "OP_CONDUCTOR_INIT_OUTPUT": "json",
    }

    result = op_conductor_init("info", env=env)

    rows = json.loads(result.stdout)["nodes"][0]["log"]["entries"]["rows"]
    assert [row["index"] for row in rows] == [2, 4]


@pytest.mark.parametrize(
    "arguments", [["--type", "block"], ["--index", "1", "--from", "2"], ["--limit", "-1"]]
)
def test_wrong_flags_are_a_usage_error(
    arguments: list[str], tmp_path: Path, op_conductor_init: OpConductorInit
) -> None:
    make_node(tmp_path)

    result = op_conductor_init("info", "--state-dir", ID, *arguments)

    assert result.exit_code == ExitCode.USAGE
    assert result.stdout == ""


def test_payloads_are_shown_decoded(tmp_path: Path, op_conductor_init: OpConductorInit) -> None:
    make_node(tmp_path)

    shown = op_conductor_init("info", "--state-dir", ID, "--index", "4").stdout
    row = info_json(op_conductor_init, "--index", "4")["log"]["entries"]["rows"][0]

    payload = row["payload"]
    assert (payload["height"], payload["version"]) == (4, 4)
    assert f"height {payload['height']}" in shown
    assert payload["block_hash"] in shown
    assert payload["parent_hash"] in shown
    assert f"{payload['transactions_count']} transaction" in shown


def test_entries_that_are_left_out_are_counted(
    tmp_path: Path, op_conductor_init: OpConductorInit
) -> None:
    make_node(tmp_path, [sets(1), *(noop(index) for index in range(2, 1002))])

    lines = op_conductor_init("info", "--state-dir", ID).stdout.splitlines()

    assert any(line.startswith("...") and "981 left out" in line for line in lines)
    assert any(line.startswith("1001 ") for line in lines)


def test_members_that_may_not_be_committed_are_said_to_be_so(
    tmp_path: Path, op_conductor_init: OpConductorInit
) -> None:
    make_node(tmp_path, [sets(1, Configuration((Server(ID, "a:1"),))), sets(2)])

    shown = op_conductor_init("info", "--state-dir", ID).stdout

    assert "members by the entry of index 2, term 1; not certain to be committed:" in shown
    assert "certain to be committed, by the entry of index 1, term 1:" in shown


def test_cluster_is_shown_in_a_line_for_each_node(
    generated: Path, op_conductor_init: OpConductorInit
) -> None:
    result = op_conductor_init("info --state-dir raft-state")

    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == list(IDS)
    assert "vote recorded for sequencer-1 in term 1" in lines[1]
    assert "op-conductor-init info --state-dir raft-state/sequencer-1" in lines[-1]


def test_snapshots_are_shown(tmp_path: Path, op_conductor_init: OpConductorInit) -> None:
    add_snapshot(make_node(tmp_path))

    shown = op_conductor_init("info", "--state-dir", ID).stdout
    (snapshot,) = info_json(op_conductor_init)["snapshots"]

    assert "1-4-1, to index 4, term 1" in shown
    assert snapshot["payload"]["height"] == 4


def test_missing_database_shows_the_rest_and_fails(
    tmp_path: Path, op_conductor_init: OpConductorInit
) -> None:
    directory = make_node(tmp_path)
    (directory / "raft-stable.db").unlink()

    result = op_conductor_init("info", "--state-dir", ID)

    assert result.exit_code == ExitCode.STORE_REFUSED
    assert "4 entries, index 1 to 4" in result.stdout
    assert "problem: " in result.stdout


@pytest.mark.parametrize("command", ["info --state-dir state", "diff state state"])
@pytest.mark.parametrize("seconds", ["nan", "NaN", "inf", "-1"])
def test_wait_without_an_end_is_an_error_of_usage(
    op_conductor_init: OpConductorInit, command: str, seconds: str
) -> None:
    result = op_conductor_init(f"{command} --lock-timeout={seconds}")

    assert result.exit_code == 2
    assert "is not in the range 0<=x<=3600" in result.stderr


@pytest.mark.parametrize("live", ["", "--live"])
def test_linked_folder_is_a_node_of_the_links_name_everywhere(
    op_conductor_init: OpConductorInit, tmp_path: Path, live: str
) -> None:
    make_node(tmp_path / "volume", server_id="pvc-1")
    make_node(tmp_path / "state", server_id="sequencer-2")
    (tmp_path / "state" / ID).symlink_to(tmp_path / "volume" / "pvc-1")

    for place in ("state", f"state/{ID}"):
        for reader in ("info", "verify"):
            result = op_conductor_init(f"{reader} --state-dir {place} -o json {live}")
            document = json.loads(result.stdout)
            assert document["nodes"][0]["server_id"] == ID
            rules = [each["rule"] for each in document.get("findings", ())]
            assert "configuration-without-self" not in rules
        found = op_conductor_init(f"export-payload --state-dir {place} -o json {live}")
        assert json.loads(found.stdout)["server_id"] == ID
    compared = op_conductor_init(f"diff -o json state/{ID} state/{ID} {live}")
    assert json.loads(compared.stdout)["nodes"][0]["a"] == ID


@pytest.mark.parametrize("live", ["", "--live"])
def test_two_names_of_one_folder_are_told(
    op_conductor_init: OpConductorInit, tmp_path: Path, live: str
) -> None:
    make_node(tmp_path / "state")
    (tmp_path / "state" / "sequencer-2").symlink_to(ID)

    result = op_conductor_init(f"verify --state-dir state {live}")

    assert "sequencer-1 and sequencer-2 are one directory" in result.stdout


def test_followers_of_the_enforced_layout_are_no_nonvoters(
    op_conductor_init: OpConductorInit,
) -> None:
    made = op_conductor_init(
        "generate --nodes a:1,b:2,c:3 --server-ids x,y,z --initial-leader x "
        "--leader-mode enforced --output-dir state"
    )
    assert made.exit_code == 0, made.output

    cluster = json.loads(op_conductor_init("verify --state-dir state -o json").stdout)
    alone = json.loads(op_conductor_init("verify --state-dir state/y -o json").stdout)

    assert [each["rule"] for each in cluster["findings"]] == [
        "configuration-enforced",
        "cluster-ahead",
    ]
    texts = {each["rule"]: each["text"] for each in alone["findings"]}
    assert "there is one voter, x: when it stops" in texts["configuration-voters-one"]
    assert "until the initial leader's log makes them" in texts["configuration-self-nonvoter"]
