"""`recover` as operators use it: what it says, asks, refuses and exits with."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from raft_state.backup import open_backup
from raft_state.node import LOG_FILE
from raft_state.recover import RECOVERING
from tests.raft_state.backup_states import running, set_byte, tree
from tests.raft_state.conftest import OpConductorInit
from tests.raft_state.flawed_states import noop, sets
from tests.raft_state.recover_states import (
    MEMBERS_TEXT,
    NEW_MEMBERS,
    ONE,
    THREE,
    TWO,
    entries,
    make_survivors,
    members_of,
)

RECOVER = f"recover --state-dir state --members {','.join(MEMBERS_TEXT)}"


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two survivors, one ahead of the other; no waiting for disk or conductors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    make_survivors(tmp_path / "state", entries(7), entries(9))
    return tmp_path / "state"


def test_recovery_says_what_it_did_and_what_to_do(
    op_conductor_init: OpConductorInit, workplace: Path
) -> None:
    result = op_conductor_init(f"{RECOVER} --yes")

    assert result.exit_code == 0, result.stderr
    assert members_of(workplace / ONE) == members_of(workplace / TWO) == NEW_MEMBERS
    (backup,) = re.findall(r"^Backup of before: (\S+)$", result.stdout, re.MULTILINE)
    assert {node.record.server_id for node in open_backup(Path(backup)).nodes} == {ONE, TWO}
    assert Path(backup).parent == workplace
    for sentence in (
        f"Recovered from {TWO}:",
        f"{workplace / ONE}: a snapshot and an empty log, going on behind entry 9",
        "Next steps:\n  1. Check what was written: op-conductor-init verify --state-dir state",
        "On the machine of sequencer-4",
    ):
        assert sentence in result.stdout
    for sentence in (
        f"Recover from {TWO}: entry 9, term 1",
        "newest payload: height 9 0x",
        "entries 2 to 9 were perhaps not committed; all of them count from now on",
        f"{ONE} at 10.0.0.1:1, Voter: entry 7, term 1 is replaced ({workplace / ONE})",
        f"{TWO} at 10.0.0.2:2, Voter: keeps its state ({workplace / TWO})",
        "sequencer-4 at 10.0.0.4:4, Voter: no directory here, must start empty",
    ):
        assert sentence in result.stderr


def test_dry_run_answers_and_changes_nothing(
    op_conductor_init: OpConductorInit, workplace: Path
) -> None:
    before = tree(workplace)

    result = op_conductor_init(f"{RECOVER} --dry-run")

    assert (result.exit_code, result.stderr) == (0, "")
    assert "entries 2 to 9 were perhaps not committed" in result.stdout
    assert result.stdout.endswith("Nothing was changed: a dry run.\n")
    assert tree(workplace) == before


def test_json_has_all_that_the_text_says(op_conductor_init: OpConductorInit) -> None:
    planned = op_conductor_init(f"{RECOVER} --dry-run -o json")
    done = op_conductor_init(f"{RECOVER} --force -o json")

    outlook = json.loads(planned.stdout)
    report = json.loads(done.stdout)
    assert outlook == report["outlook"]
    assert outlook["source"]["server_id"] == TWO
    assert outlook["commits"] == {"first": 2, "last": 9}
    assert outlook["absent"] == ["sequencer-4"]
    assert Path(report["backup"]).is_dir()
    assert done.stderr == ""


def test_source_nonvoters_and_backup_can_be_named(
    op_conductor_init: OpConductorInit, workplace: Path
) -> None:
    result = op_conductor_init(
        f"{RECOVER} --yes --from {ONE} --nonvoters sequencer-4 --backup-dir elsewhere"
    )

    assert result.exit_code == 0, result.stderr
    assert f"warning: {TWO} diverges from {ONE}: its entries 8 to 9" in result.stderr
    assert [each.server_id for each in members_of(workplace / TWO).voters] == [ONE, TWO]
    assert len(list(Path("elsewhere").iterdir())) == 1


def test_one_survivor_on_its_own_machine(
    op_conductor_init: OpConductorInit, workplace: Path
) -> None:
    other = tree(workplace / TWO)

    result = op_conductor_init(
        f"recover --yes --state-dir state/{ONE} --members {','.join(MEMBERS_TEXT)}"
    )

    assert result.exit_code == 0, result.stderr
    assert members_of(workplace / ONE) == NEW_MEMBERS
    assert tree(workplace / TWO) == other
    assert "warning: 2 of 3 voters are not here" in result.stderr
    assert len(list(workplace.glob("raft-backup-*"))) == 1


def test_variables_are_options(op_conductor_init: OpConductorInit, workplace: Path) -> None:
    result = op_conductor_init(
        "recover",
        env={
            "OP_CONDUCTOR_INIT_STATE_DIR": "state",
            "OP_CONDUCTOR_INIT_MEMBERS": ",".join(MEMBERS_TEXT),
            "OP_CONDUCTOR_INIT_FROM": ONE,
            "OP_CONDUCTOR_INIT_FORCE": "true",
        },
    )

    assert result.exit_code == 0, result.stderr
    assert f"Recovered from {ONE}" in result.stdout


def test_cluster_without_payload_is_called_one_that_begins_anew(
    op_conductor_init: OpConductorInit, tmp_path: Path
) -> None:
    make_survivors(tmp_path / "fresh", [sets(1), noop(2)])

    result = op_conductor_init(
        f"recover --yes --state-dir fresh --members {','.join(MEMBERS_TEXT)}"
    )

    assert "no payload: the cluster begins anew, with a log of one entry" in result.stderr
    assert f"{tmp_path / 'fresh' / ONE}: a log of one entry" in result.stdout


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 5), ("\n", 5)])
def test_question_decides(
    op_conductor_init: OpConductorInit,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: int,
) -> None:
    monkeypatch.setattr("raft_state.cli.recover._can_ask", lambda: True)
    before = tree(workplace)

    result = op_conductor_init(RECOVER, answer=answer)

    assert result.exit_code == code
    assert "All conductors are stopped: recover?" in result.stderr
    assert (tree(workplace) == before) == (code != 0)


def test_nobody_to_ask_is_a_usage_error(
    op_conductor_init: OpConductorInit, workplace: Path
) -> None:
    before = tree(workplace)

    result = op_conductor_init(RECOVER)

    assert result.exit_code == 2
    assert "no terminal to ask at: nothing was changed; --yes does it" in result.stderr
    assert tree(workplace) == before


@pytest.mark.parametrize(
    ("line", "code", "sentence"),
    [
        ("recover --state-dir state", 2, "--members is missing: name every member"),
        ("recover --members a=b:1", 2, "Missing option '--state-dir'"),
        ("recover --state-dir state --members a", 2, "'a' is not id=host:port"),
        ("recover --state-dir '' --members a=b:1", 2, "--state-dir is empty"),
        ("recover --state-dir nothing --members a=b:1", 1, "no such directory"),
        ("recover --state-dir state --members a=b:1", 1, "none of --members (a) is here"),
        (f"{RECOVER} --from other", 1, "no such node here, only sequencer-1, sequencer-2"),
    ],
)
def test_refusals_are_sentences(
    op_conductor_init: OpConductorInit, workplace: Path, line: str, code: int, sentence: str
) -> None:
    before = tree(workplace)

    result = op_conductor_init(f"{line} --yes")

    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith("error: ")
    assert sentence in result.stderr
    assert tree(workplace) == before


def test_running_conductor_is_refused(op_conductor_init: OpConductorInit, workplace: Path) -> None:
    before = tree(workplace)

    with running(workplace / TWO):
        result = op_conductor_init(f"{RECOVER} --yes")

    assert result.exit_code == 7
    assert "is in use by a running process: nothing was changed; stop the conductor" in (
        result.stderr
    )
    assert tree(workplace) == before


def test_backup_that_cannot_be_made_changes_nothing(
    op_conductor_init: OpConductorInit, workplace: Path
) -> None:
    before = tree(workplace)
    Path("file").write_text("")

    result = op_conductor_init(f"{RECOVER} --yes --backup-dir file")

    assert result.exit_code == 7
    assert tree(workplace) == before


def test_damaged_survivor_is_saved_as_it_is_and_replaced(
    op_conductor_init: OpConductorInit, workplace: Path
) -> None:
    for page in (0, 1):
        set_byte(workplace / TWO / LOG_FILE, page * 4096 + 20)
    damaged = (workplace / TWO / LOG_FILE).read_bytes()

    guessed = op_conductor_init(f"{RECOVER} --yes")
    named = op_conductor_init(f"{RECOVER} --yes --from {ONE}")

    assert guessed.exit_code == 5
    assert named.exit_code == 0, named.stderr
    assert members_of(workplace / TWO) == NEW_MEMBERS
    (backup,) = workplace.glob("raft-backup-*")
    assert (backup / TWO / LOG_FILE).read_bytes() == damaged


def test_leftover_of_an_interrupted_run_is_named(
    op_conductor_init: OpConductorInit, workplace: Path
) -> None:
    left = workplace / ONE / f"{RECOVERING}20250101-000000"
    left.mkdir()

    result = op_conductor_init(f"{RECOVER} --dry-run")

    assert f"warning: {left} was left by a recovery that was interrupted" in result.stderr


def test_third_node_that_is_no_member_is_left_alone(
    op_conductor_init: OpConductorInit, tmp_path: Path
) -> None:
    make_survivors(tmp_path / "three", entries(7), entries(7), entries(7))

    result = op_conductor_init(
        f"recover --dry-run --state-dir three --members {','.join(MEMBERS_TEXT)}"
    )

    assert f"{THREE} is no member any more; its directory stays as it is" in result.stdout
