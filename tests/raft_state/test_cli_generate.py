"""`op-conductor-init generate`: flags, variables, what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raft_state.bolt import open_database
from raft_state.raft import decode_configuration, decode_entry, read_stable
from tests.raft_state.conftest import OpConductorInit

ORIGINAL_COMMAND = """generate \\
  --nodes sequencer-1.namespace.svc.cluster.local:50050,sequencer-2.namespace.svc.cluster.local:50050,sequencer-3.namespace.svc.cluster.local:50050 \\
  --server-ids sequencer-1,sequencer-2,sequencer-3 \\
  --initial-leader sequencer-1 \\
  --output-dir ./raft-state
"""  # noqa: E501 - as people copy it
"""As in the README of the tool that this one stands in for."""

ORIGINAL_VARIABLES = {
    "OP_CONDUCTOR_INIT_NODES": "sequencer-1:50050,sequencer-2:50050,sequencer-3:50050",
    "OP_CONDUCTOR_INIT_SERVER_IDS": "sequencer-1,sequencer-2,sequencer-3",
    "OP_CONDUCTOR_INIT_INITIAL_LEADER": "sequencer-1",
    "OP_CONDUCTOR_INIT_OUTPUT_DIR": "./raft-state",
}
"""As in the same README."""

SHORT = "generate --nodes a:1,b:2,c:3 --server-ids x,y,z --initial-leader x"

Report = dict[str, Any]


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def members_of(directory: Path) -> list[tuple[str, str, str]]:
    """The last configuration in a node's log."""
    with open_database(directory / "raft-log.db") as database:
        bucket = database.bucket(b"logs")
        assert bucket is not None
        *_, (_, value) = bucket.items()
        data = decode_entry(value).entry.data
        assert data is not None
        servers = decode_configuration(data).servers
    return [(server.server_id, server.address, server.suffrage_name) for server in servers]


def term_of(directory: Path) -> int | None:
    with open_database(directory / "raft-stable.db") as database:
        bucket = database.bucket(b"conf")
        assert bucket is not None
        return read_stable(bucket.items()).current_term


def files() -> list[str]:
    return sorted(path.as_posix() for path in Path().rglob("*") if path.is_file())


@pytest.mark.parametrize("prefix", ["", "raft "])
def test_command_of_the_original_readme(op_conductor_init: OpConductorInit, prefix: str) -> None:
    result = op_conductor_init(prefix + ORIGINAL_COMMAND.replace("\\\n", ""))

    assert (result.exit_code, result.stderr) == (0, "")
    assert files() == [
        f"raft-state/sequencer-{number}/{name}"
        for number in (1, 2, 3)
        for name in ("raft-log.db", "raft-stable.db")
    ]
    assert members_of(Path("raft-state/sequencer-2")) == [
        (f"sequencer-{number}", f"sequencer-{number}.namespace.svc.cluster.local:50050", "Voter")
        for number in (1, 2, 3)
    ]


def test_variables_of_the_original_readme(op_conductor_init: OpConductorInit) -> None:
    result = op_conductor_init("generate", env=ORIGINAL_VARIABLES)

    assert (result.exit_code, result.stderr) == (0, "")
    assert members_of(Path("raft-state/sequencer-3"))[0] == (
        "sequencer-1",
        "sequencer-1:50050",
        "Voter",
    )


def test_every_flag_is_a_variable(op_conductor_init: OpConductorInit) -> None:
    flags = {
        "--nodes": "a:1,b:2,c:3",
        "--server-ids": "x,y,z",
        "--initial-leader": "z",
        "--output-dir": "./elsewhere",
        "--initial-term": "5",
        "--network": "op-test",
        "--nonvoters": "y",
        "--leader-mode": "enforced",
        "--force": "true",
        "--dry-run": "true",
        "--output": "json",
    }
    variables = {
        "OP_CONDUCTOR_INIT_" + flag[2:].upper().replace("-", "_"): value
        for flag, value in flags.items()
    }

    by_flags = op_conductor_init("generate", *(f"{flag}={value}" for flag, value in flags.items()))
    by_variables = op_conductor_init("generate", env=variables)

    assert by_flags.exit_code == by_variables.exit_code == 0
    assert by_flags.stdout == by_variables.stdout
    report: Report = json.loads(by_variables.stdout)
    assert report["output_dir"] == "elsewhere"
    assert report["initial_leader"] == "z"
    assert report["initial_term"] == 5
    assert report["network"] == "op-test"
    assert report["leader_mode"] == "enforced"
    assert report["written"] is False
    assert [(m["server_id"], m["address"], m["suffrage"]) for m in report["members"]] == [
        ("x", "a:1", "Voter"),
        ("y", "b:2", "Nonvoter"),
        ("z", "c:3", "Voter"),
    ]


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_force_replaces(op_conductor_init: OpConductorInit, how: str) -> None:
    op_conductor_init(SHORT + " --initial-term 9")
    again = SHORT + (" --force" if how == "flag" else "")

    result = op_conductor_init(
        again, env={"OP_CONDUCTOR_INIT_FORCE": "true"} if how == "variable" else None
    )

    assert result.exit_code == 0
    assert "Replaced the earlier state of x, y, z." in result.stdout
    assert term_of(Path("raft-state/x")) == 1


def test_without_force_what_is_there_stays(op_conductor_init: OpConductorInit) -> None:
    op_conductor_init(SHORT + " --initial-term 9")

    result = op_conductor_init(SHORT + " --force=false")

    assert result.exit_code == 5
    assert result.stdout == ""
    assert result.stderr.startswith("error: nothing was written, --force would replace what is")
    assert term_of(Path("raft-state/x")) == 9


def test_dry_run_writes_nothing(op_conductor_init: OpConductorInit) -> None:
    result = op_conductor_init(SHORT + " --dry-run")

    assert result.exit_code == 0
    assert result.stdout.startswith("Nothing was written. A real run would write")
    assert list(Path().iterdir()) == []


def test_output_says_what_raft_makes_of_it_and_what_to_do(
    op_conductor_init: OpConductorInit,
) -> None:
    text = op_conductor_init(SHORT + " --network op-test --nonvoters z").stdout

    for words in (
        "raft-state/x  a:1  Voter, initial leader\n",
        "raft-state/z  c:3  Nonvoter\n",
        "Network: op-test (a label: no file holds it)",
        "has no effect",
        "1 in 2",
        "op-conductor-init verify --state-dir raft-state",
        "--raft.storage.dir=<storage dir>: raft-state, or what it is mounted as, and NOT the node",
        "--raft.bootstrap=false",
    ):
        assert words in text


def test_enforced_mode_is_explained(op_conductor_init: OpConductorInit) -> None:
    text = op_conductor_init(SHORT + " --leader-mode enforced").stdout

    assert "x wins the first election every time" in text


def test_warnings_are_on_stderr(op_conductor_init: OpConductorInit) -> None:
    result = op_conductor_init("generate --nodes a:1,b:2 --server-ids x,y --initial-leader x")

    assert result.exit_code == 0
    assert result.stderr.startswith("warning: 2 voters need 2 of them")
    assert "2 voters need" not in result.stdout


def test_json_holds_warnings_and_next_steps(op_conductor_init: OpConductorInit) -> None:
    result = op_conductor_init(
        "generate -o json --nodes a:1,b:2 --server-ids x,y --initial-leader x"
    )

    report: Report = json.loads(result.stdout)
    assert report["written"] is True
    assert report["members"][1]["directory"] == "raft-state/y"
    assert report["replaced"] == []
    assert len(report["warnings"]) == 1
    assert len(report["next_steps"]) == 5


def test_blanks_around_items_do_not_count(op_conductor_init: OpConductorInit) -> None:
    result = op_conductor_init(
        "generate", "--nodes", " a:1, b:2 ", "--server-ids", "x ,y", "--initial-leader", " x"
    )

    assert result.exit_code == 0
    assert members_of(Path("raft-state/y")) == [("x", "a:1", "Voter"), ("y", "b:2", "Voter")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("generate", "--nodes is missing"),
        ("generate --nodes a:1,b:2, --server-ids x,y,z --initial-leader x", "item 3 is empty"),
        (SHORT + " --initial-term 0", "--initial-term 0"),
        (SHORT + " --initial-term one", "--initial-term: 'one' is not a valid integer"),
        (SHORT + " --leader-mode maybe", "--leader-mode: 'maybe' is not one of"),
        (SHORT + " --nonvoters x", "only a voter can lead"),
        (SHORT + " --output-dir=", "--output-dir is empty"),
        (SHORT + " --server-id x", "No such option"),
    ],
)
def test_mistakes_are_errors_of_usage_and_write_nothing(
    op_conductor_init: OpConductorInit, arguments: str, words: str
) -> None:
    result = op_conductor_init(arguments)

    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert words in result.stderr
    assert list(Path().iterdir()) == []


def test_mistake_in_a_variable_names_the_variable(op_conductor_init: OpConductorInit) -> None:
    result = op_conductor_init(SHORT, env={"OP_CONDUCTOR_INIT_INITIAL_TERM": "one"})

    assert "OP_CONDUCTOR_INIT_INITIAL_TERM (which is --initial-term): 'one'" in result.stderr


def test_disk_that_refuses_ends_with_its_exit_code(op_conductor_init: OpConductorInit) -> None:
    Path("file").write_text("")

    result = op_conductor_init(SHORT + " --output-dir file/below")

    assert result.exit_code == 7
    assert "Not a directory" in result.stderr
    assert files() == ["file"]
