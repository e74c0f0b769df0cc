"""How `op-conductor-init` ends when it is told to: real processes, real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.raft_state.backup_states import IDS, make_cluster, tree
from tests.raft_state.conftest import OpConductorInit

_CHILD = """
import json, os, select, signal, sys
event, ending = json.loads(sys.argv.pop(1))
told = False
def hook(name, details):
    global told
    # The path that is opened, or the new name.
    path = str(details[1 if name == "os.rename" else 0]) if name == event else ""
    if told or not path.endswith(ending):
        return
    told = True
    print("there", flush=True)
    while True:
        select.select([], [], [], 0.05)
sys.addaudithook(hook)
from raft_state.cli.main import main
main()
"""


def told_at(event: str, ending: str, number: int, *arguments: str, temporary: Path) -> int:
    """Run the program until it does this to a path, send it a signal; its exit code."""
    process = subprocess.Popen(
        [sys.executable, "-c", _CHILD, json.dumps([event, ending]), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temporary)},
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        assert first == "there\n", process.stderr.read()
        assert any(temporary.iterdir()) == ("--live" in arguments)
        process.send_signal(number)
        process.communicate(timeout=30)
    return process.returncode


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_copy_of_a_running_node_is_removed(tmp_path: Path, number: int) -> None:
    make_cluster(tmp_path / "state")
    (tmp_path / "tmp").mkdir()
    arguments = ("verify", "--live", "--state-dir", str(tmp_path / "state"))

    # The copy is there by the time that it is read: the third of them is not even made yet.
    code = told_at(
        "open", f"{IDS[1]}/raft-stable.db", number, *arguments, temporary=tmp_path / "tmp"
    )

    assert code == 128 + number
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_half_a_swap_is_taken_back(
    tmp_path: Path, op_conductor_init: OpConductorInit, number: int
) -> None:
    root, backups = make_cluster(tmp_path / "state"), tmp_path / "backups"
    saved = op_conductor_init("backup", "--state-dir", str(root), "--backup-dir", str(backups))
    assert saved.exit_code == 0, saved.output
    (tmp_path / "tmp").mkdir()
    (backup,) = backups.iterdir()
    (root / IDS[1] / "snapshots").mkdir()
    before = tree(root)

    # The new directory of the second node is about to get its name: the old one has lost it.
    arguments = ("restore", "--force", "--state-dir", str(root), "--backup-dir", str(backup))
    code = told_at("os.rename", f"{root}/{IDS[1]}", number, *arguments, temporary=tmp_path / "tmp")

    assert code == 128 + number
    assert tree(root) == before


def test_ignored_hangup_stays_ignored() -> None:
    code = (
        "import signal\n"
        "from raft_state.cli.endings import orderly_end\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with orderly_end():\n"
        "    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN\n"
        "    assert callable(signal.getsignal(signal.SIGTERM))\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, b"")
