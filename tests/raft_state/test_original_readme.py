"""What the original README of `op-conductor-init` tells its readers to type, typed into a shell.

Only the backup has another name than there: that of the one that was just made.
"""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raft_state.node import LOG_FILE, STABLE_FILE, open_node
from tests.raft_state.backup_states import tree
from tests.raft_state.conftest import OpConductorInit

GENERATE = """\
# Generate Raft state
op-conductor-init generate \\
  --nodes sequencer-1.namespace.svc.cluster.local:50050,sequencer-2.namespace.svc.cluster.local:50050,sequencer-3.namespace.svc.cluster.local:50050 \\
  --server-ids sequencer-1,sequencer-2,sequencer-3 \\
  --initial-leader sequencer-1 \\
  --output-dir ./raft-state
"""  # noqa: E501 - word for word
INFO = """\
# Show detailed state information
op-conductor-init info --state-dir ./raft-state/sequencer-1
"""
BACKUP = """\
# Backup state files
op-conductor-init backup \\
  --state-dir ./raft-state \\
  --backup-dir ./backups
"""
RESTORE = """\
# Restore from backup
op-conductor-init restore \\
  --backup-dir ./backups/raft-backup-20250707-120000 \\
  --state-dir ./raft-state
"""
BY_ENVIRONMENT = """\
export OP_CONDUCTOR_INIT_NODES="sequencer-1:50050,sequencer-2:50050,sequencer-3:50050"
export OP_CONDUCTOR_INIT_SERVER_IDS="sequencer-1,sequencer-2,sequencer-3"
export OP_CONDUCTOR_INIT_INITIAL_LEADER="sequencer-1"
export OP_CONDUCTOR_INIT_OUTPUT_DIR="./raft-state"
op-conductor-init generate
"""
VERIFY = """\
op-conductor-init verify --state-dir ./raft-state/sequencer-1
"""

BACKUP_NAME = "raft-backup-20250707-120000"
IDS = ("sequencer-1", "sequencer-2", "sequencer-3")
FILES = sorted(f"{server_id}/{name}" for server_id in IDS for name in (LOG_FILE, STABLE_FILE))

QUESTION = "Replace it? [y/N]: "
ANSWER_S = 30.0


def environment() -> dict[str, str]:
    """Of a shell that finds the program that is installed beside this Python."""
    programs = Path(sys.executable).parent
    if not (programs / "op-conductor-init").exists():
        pytest.fail(f"no op-conductor-init in {programs}: `pip install -e .` makes it")
    return {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


def typed(text: str, directory: Path) -> str:
    """Type it there, where it has to succeed; what is said on stdout."""
    done = subprocess.run(
        ["bash", "-ec", text],
        cwd=directory,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def typed_at_a_terminal(text: str, directory: Path, answer: str) -> tuple[int, str]:
    """Type it at a terminal, and the answer to its question: exit code, and what it says."""
    mine, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            ["bash", "-ec", text],
            cwd=directory,
            env=environment(),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        ) as process:
            os.close(theirs)
            said = read_until(mine, QUESTION)
            os.write(mine, f"{answer}\n".encode())
            said += read_until(mine, None)
            return process.wait(), said
    finally:
        os.close(mine)


def read_until(terminal: int, text: str | None) -> str:
    """What appears until that text, or until the other side has ended."""
    said = b""
    deadline = time.monotonic() + ANSWER_S
    while text is None or text.encode() not in said:
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"it waits for something else: {said!r}"
        try:
            part = os.read(terminal, 4096)
        except OSError:  # how Linux tells that nobody has the other side open any more
            part = b""
        if not part:
            assert text is None, said
            break
        said += part
    return said.decode()


def backup_in(directory: Path) -> str:
    (backup,) = (directory / "backups").iterdir()
    assert re.fullmatch(r"raft-backup-\d{8}-\d{6}", backup.name)
    return backup.name


def assert_is_state_of_a_new_cluster(state_dir: Path, host: str) -> None:
    """As the README describes it: the files, who the members are, and the vote of the leader."""
    files = [path for path in state_dir.rglob("*") if path.is_file()]
    assert sorted(path.relative_to(state_dir).as_posix() for path in files) == FILES
    for server_id in IDS:
        with open_node(state_dir / server_id) as node:
            assert node.problems == ()
            assert node.log is not None
            assert node.stable is not None
            assert (node.log.first_index, node.log.last_index) == (1, 1)
            members = node.latest_configuration()
            assert members is not None
            assert [
                (server.server_id, server.address, server.is_voter)
                for server in members.configuration.servers
            ] == [(name, f"{name}{host}:50050", True) for name in IDS]
            stable = node.stable
            assert stable.current_term == 1
            vote = (stable.last_vote_term, stable.last_vote_candidate)
            assert vote == ((1, b"sequencer-1") if server_id == "sequencer-1" else (None, None))


def test_basic_usage(tmp_path: Path) -> None:
    state = tmp_path / "raft-state"

    assert "Wrote the Raft state of 3 nodes" in typed(GENERATE, tmp_path)
    assert_is_state_of_a_new_cluster(state, ".namespace.svc.cluster.local")

    said = typed(INFO, tmp_path)
    for words in (r"current term +1\b", r"vote recorded for sequencer-1 in term 1", r"1 entry"):
        assert re.search(words, said)
    for server_id in IDS:
        assert f"{server_id}.namespace.svc.cluster.local:50050" in said

    said = typed(VERIFY, tmp_path)
    assert "0 errors" in said
    assert all(server_id in said for server_id in IDS)

    before = tree(state)
    said = typed(BACKUP, tmp_path)
    name = backup_in(tmp_path)
    assert name in said
    assert sorted(path.name for path in (tmp_path / "backups" / name).iterdir()) == [
        "manifest.json",
        *IDS,
    ]

    typed(GENERATE.rstrip() + " --initial-term 7 --force", tmp_path)
    other = tree(state)
    assert other != before
    restore = RESTORE.replace(BACKUP_NAME, name)
    code, said = typed_at_a_terminal(restore, tmp_path, "n")
    assert (code, tree(state)) == (5, other)
    assert "nothing was changed" in said

    code, said = typed_at_a_terminal(restore, tmp_path, "y")
    assert (code, tree(state)) == (0, before), said
    assert "Restored 3 nodes" in said


def test_environment_variables(tmp_path: Path) -> None:
    typed(BY_ENVIRONMENT, tmp_path)

    assert_is_state_of_a_new_cluster(tmp_path / "raft-state", "")


def test_every_command_is_one_behind_the_prefix_too(tmp_path: Path) -> None:
    """As later versions of the original tool have them."""
    for text in (GENERATE, INFO, VERIFY, BACKUP):
        typed(text.replace("op-conductor-init", "op-conductor-init raft"), tmp_path)
    restore = RESTORE.replace(BACKUP_NAME, backup_in(tmp_path)).rstrip()
    typed(restore.replace("op-conductor-init", "op-conductor-init raft") + " --force", tmp_path)

    assert_is_state_of_a_new_cluster(tmp_path / "raft-state", ".namespace.svc.cluster.local")


FLAGS_OF_GENERATE = {
    "--nodes": "a:1,b:2,c:3",
    "--server-ids": "x,y,z",
    "--initial-leader": "y",
    "--output-dir": "out",
    "--initial-term": "6",
    "--network": "sepolia",
    "--force": "true",
}


def variable(flag: str) -> str:
    """As the README says: all flags, with the prefix."""
    return "OP_CONDUCTOR_INIT_" + flag.removeprefix("--").replace("-", "_").upper()


@pytest.mark.parametrize("by_variable", FLAGS_OF_GENERATE)
def test_flag_of_generate_is_a_variable(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    op_conductor_init: OpConductorInit,
    by_variable: str,
) -> None:
    """Once all by flags, once one of them by its variable, over a state that is already there."""
    results = []
    for names in ((), (by_variable,)):
        place = tmp_path / str(len(names))
        (place / "out" / "x").mkdir(parents=True)
        (place / "out" / "x" / LOG_FILE).write_bytes(b"old")
        monkeypatch.chdir(place)
        flags = [
            f"{flag}={value}" for flag, value in FLAGS_OF_GENERATE.items() if flag not in names
        ]
        env = {variable(flag): FLAGS_OF_GENERATE[flag] for flag in names}
        result = op_conductor_init("generate", *flags, env=env)
        assert result.exit_code == 0, result.stderr
        results.append((result.stdout, tree(place)))

    assert results[0] == results[1]
    assert "sepolia" in results[0][0]


def test_flags_of_the_other_commands_are_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, op_conductor_init: OpConductorInit
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = [f"{flag}={value}" for flag, value in FLAGS_OF_GENERATE.items()]
    assert op_conductor_init("generate", *flags).exit_code == 0

    def succeeds(command: str, **values: str) -> str:
        env = {f"OP_CONDUCTOR_INIT_{name}": text for name, text in values.items()}
        result = op_conductor_init(command, "-o", "json", env=env)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    assert '"server_id": "y"' in succeeds("info", STATE_DIR="out/y")
    assert '"errors": 0' in succeeds("verify", STATE_DIR="out")
    before = tree(tmp_path / "out")
    succeeds("backup", STATE_DIR="out", BACKUP_DIR="backups")
    backup = f"backups/{backup_in(tmp_path)}"
    for force in ("FORCE", "RESTORE_FORCE"):
        (tmp_path / "out" / "y" / STABLE_FILE).unlink()
        succeeds("restore", STATE_DIR="out", BACKUP_DIR=backup, **{force: "true"})
        assert tree(tmp_path / "out") == before
