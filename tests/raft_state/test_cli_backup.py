"""`backup` and `restore` as operators use them: what they say, ask, refuse and exit with."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conductor.exit_codes import ExitCode
from raft_state.node import LOG_FILE, SNAPSHOTS, STABLE_FILE
from tests.raft_state.backup_states import (
    IDS,
    make_cluster,
    make_node,
    make_snapshot,
    running,
    set_byte,
    tree,
    write_stable,
)
from tests.raft_state.conftest import OpConductorInit


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The README's `./raft-state` in the current directory; no waiting for disk or conductors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    make_cluster(tmp_path / "raft-state")
    return tmp_path


@pytest.fixture
def backup(op_conductor_init: OpConductorInit) -> str:
    answer = op_conductor_init("backup --state-dir ./raft-state --backup-dir ./backups -o json")
    return str(json.loads(answer.stdout)["backup"])


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Somebody sits there: what the runner gives as stdin says that it is a terminal."""
    with monkeypatch.context() as patch:
        patch.setattr("raft_state.cli.restore._can_ask", lambda: True)
        yield


def change_state() -> None:
    for name in IDS:
        write_stable(Path("raft-state", name, STABLE_FILE), 8)


def test_readme_commands_work_word_for_word(op_conductor_init: OpConductorInit) -> None:
    saved = tree(Path("raft-state"))

    answer = op_conductor_init("backup --state-dir ./raft-state --backup-dir ./backups")
    assert answer.exit_code == ExitCode.OK
    (name,) = re.findall(r"^Backup: .*/(raft-backup-\d{8}-\d{6})$", answer.stdout, re.MULTILINE)

    Path("raft-state").rename("gone")
    answer = op_conductor_init(f"restore --backup-dir ./backups/{name} --state-dir ./raft-state")
    assert answer.exit_code == ExitCode.OK
    assert tree(Path("raft-state")) == saved


def test_prefix_of_the_original_tool_is_accepted(op_conductor_init: OpConductorInit) -> None:
    answer = op_conductor_init("raft backup --state-dir ./raft-state --backup-dir ./backups")

    assert answer.exit_code == ExitCode.OK


def test_every_option_is_an_environment_variable(op_conductor_init: OpConductorInit) -> None:
    place = {"OP_CONDUCTOR_INIT_STATE_DIR": "raft-state"}
    answer = op_conductor_init(
        "backup",
        env=place | {"OP_CONDUCTOR_INIT_BACKUP_DIR": "b", "OP_CONDUCTOR_INIT_OUTPUT": "json"},
    )
    made = json.loads(answer.stdout)["backup"]

    for force in ("OP_CONDUCTOR_INIT_FORCE", "OP_CONDUCTOR_INIT_RESTORE_FORCE"):
        change_state()
        before = tree(Path("raft-state"))
        env = place | {"OP_CONDUCTOR_INIT_BACKUP_DIR": made, force: "true"}
        assert op_conductor_init("restore", env=env).exit_code == ExitCode.OK
        assert tree(Path("raft-state")) != before


def test_backup_says_what_is_in_it(op_conductor_init: OpConductorInit) -> None:
    make_snapshot(Path("raft-state", IDS[0]), 2)
    Path("raft-state", IDS[0], SNAPSHOTS, "1-3-3.tmp").mkdir()

    with running(Path("raft-state", IDS[1])):
        answer = op_conductor_init("backup --state-dir ./raft-state --backup-dir ./backups")

    assert "Saved 3 nodes of" in answer.stdout
    assert "sequencer-1: term 1, entries 1 to 3, snapshot 1-2-1; 4 files\n" in answer.stdout
    assert "left out: snapshots/1-3-3.tmp: a snapshot that was never finished" in answer.stdout
    assert "sequencer-2: term 1, entries 1 to 3; 2 files, while its conductor was running" in (
        answer.stdout
    )


def test_restore_asks_and_a_yes_replaces(
    op_conductor_init: OpConductorInit, backup: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = tree(Path("raft-state"))
    change_state()

    with terminal(monkeypatch):
        answer = op_conductor_init(
            f"restore --backup-dir {backup} --state-dir raft-state", answer="y\n"
        )

    assert answer.exit_code == ExitCode.OK
    assert tree(Path("raft-state")) == saved
    assert "replaced: term 8" in answer.stderr
    assert "goes back from" in answer.stderr
    assert "Restored 3 nodes" in answer.stdout


@pytest.mark.parametrize("reply", ["n\n", "\n"])
def test_restore_that_is_declined_changes_nothing(
    op_conductor_init: OpConductorInit, backup: str, monkeypatch: pytest.MonkeyPatch, reply: str
) -> None:
    change_state()
    before = tree(Path("raft-state"))

    with terminal(monkeypatch):
        answer = op_conductor_init(
            f"restore --backup-dir {backup} --state-dir raft-state", answer=reply
        )

    assert answer.exit_code == ExitCode.REFUSED
    assert "declined: nothing was changed" in answer.stderr
    assert tree(Path("raft-state")) == before


def test_end_of_input_is_an_interruption(
    op_conductor_init: OpConductorInit, backup: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(Path("raft-state"))

    with terminal(monkeypatch):
        answer = op_conductor_init(
            f"restore --backup-dir {backup} --state-dir raft-state", answer=""
        )

    assert answer.exit_code == ExitCode.INTERRUPTED
    assert tree(Path("raft-state")) == before


def test_without_a_terminal_only_force_replaces(
    op_conductor_init: OpConductorInit, backup: str
) -> None:
    """Even if a `y` could be read: a script says what it means."""
    change_state()
    before = tree(Path("raft-state"))
    command = f"restore --backup-dir {backup} --state-dir raft-state"

    answer = op_conductor_init(command, answer="y\n")
    assert answer.exit_code == ExitCode.USAGE
    assert "--force" in answer.stderr
    assert tree(Path("raft-state")) == before

    assert op_conductor_init(f"{command} --force").exit_code == ExitCode.OK
    assert tree(Path("raft-state")) != before


def test_dry_run_changes_nothing(op_conductor_init: OpConductorInit, backup: str) -> None:
    change_state()
    before = tree(Path())
    command = f"restore --dry-run --backup-dir {backup} --state-dir raft-state"

    answer = op_conductor_init(command)
    assert answer.exit_code == ExitCode.OK
    assert "Nothing was changed: a dry run." in answer.stdout
    plan = json.loads(op_conductor_init(f"{command} -o json").stdout)
    assert [each["replaces"] for each in plan["replacements"]] == [True] * 3
    assert tree(Path()) == before


def test_json_is_all_that_is_on_stdout(op_conductor_init: OpConductorInit, backup: str) -> None:
    change_state()

    answer = op_conductor_init(
        f"restore --force --keep-replaced --backup-dir {backup} --state-dir raft-state -o json"
    )

    report = json.loads(answer.stdout)
    assert report["backup"] == backup
    assert len(report["kept"]) == 3
    assert report["replacements"][0]["after"]["current_term"] == 1


def test_one_node_is_restored_by_its_id(op_conductor_init: OpConductorInit, backup: str) -> None:
    change_state()
    untouched = tree(Path("raft-state", IDS[0]))

    answer = op_conductor_init(
        f"restore --force --server-id sequencer-2 --backup-dir {backup} --state-dir raft-state"
    )

    assert answer.exit_code == ExitCode.OK
    assert "Restored 1 node:" in answer.stdout
    assert tree(Path("raft-state", IDS[0])) == untouched


def test_running_conductor_is_refused_even_by_force(
    op_conductor_init: OpConductorInit, backup: str
) -> None:
    before = tree(Path("raft-state"))

    with running(Path("raft-state", IDS[1])):
        answer = op_conductor_init(f"restore --force --backup-dir {backup} --state-dir raft-state")

    assert answer.exit_code == ExitCode.STORE_REFUSED
    assert "stop the conductor" in answer.stderr
    assert tree(Path("raft-state")) == before


def test_damaged_state_is_saved_only_when_asked_for(op_conductor_init: OpConductorInit) -> None:
    set_byte(Path("raft-state", IDS[0], LOG_FILE), 2 * 4096 + 8)
    command = "backup --state-dir raft-state --backup-dir backups"

    answer = op_conductor_init(command)
    assert answer.exit_code == ExitCode.STORE_REFUSED
    assert "--allow-damaged" in answer.stderr
    assert not Path("backups").exists()

    answer = op_conductor_init(f"{command} --allow-damaged")
    assert answer.exit_code == ExitCode.OK
    assert "damaged: raft-log.db: page 2" in answer.stdout


def test_damaged_backup_is_refused(op_conductor_init: OpConductorInit, backup: str) -> None:
    set_byte(Path(backup, IDS[0], LOG_FILE), 9)

    answer = op_conductor_init(f"restore --force --backup-dir {backup} --state-dir raft-state")

    assert answer.exit_code == ExitCode.STORE_REFUSED
    assert "SHA-256" in answer.stderr


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("backup --state-dir nowhere --backup-dir new", ExitCode.ERROR),
        ("backup --state-dir raft-state", ExitCode.USAGE),
        ("backup --state-dir '' --backup-dir new", ExitCode.USAGE),
        ("backup --state-dir raft-state --backup-dir ''", ExitCode.USAGE),
        ("restore --backup-dir nowhere --state-dir new", ExitCode.ERROR),
        ("restore --backup-dir raft-state --state-dir new", ExitCode.ERROR),
        ("restore --backup-dir '' --state-dir new", ExitCode.USAGE),
        ("restore --state-dir new", ExitCode.USAGE),
    ],
)
def test_wrong_paths_create_nothing(
    op_conductor_init: OpConductorInit, command: str, code: ExitCode
) -> None:
    before = tree(Path())

    answer = op_conductor_init(*shlex.split(command))

    assert answer.exit_code == code
    assert answer.stderr.startswith("error: ")
    assert tree(Path()) == before


def test_text_from_files_cannot_move_the_cursor(op_conductor_init: OpConductorInit) -> None:
    make_node(Path("raft-state", "evil\x1b[2J"))

    answer = op_conductor_init("backup --state-dir raft-state --backup-dir backups")

    assert answer.exit_code == ExitCode.OK
    assert "\x1b" not in answer.output


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_help_has_examples(op_conductor_init: OpConductorInit, command: str) -> None:
    answer = op_conductor_init(f"{command} --help")

    assert answer.exit_code == ExitCode.OK
    assert "Examples:" in answer.stdout
    assert "OP_CONDUCTOR_INIT_STATE_DIR" in answer.stdout


def test_help_says_that_names_are_in_utc(op_conductor_init: OpConductorInit) -> None:
    assert "UTC" in op_conductor_init("backup --help").stdout


def test_nothing_is_drawn_where_nobody_watches(op_conductor_init: OpConductorInit) -> None:
    assert op_conductor_init("backup --state-dir raft-state --backup-dir backups").stderr == ""
