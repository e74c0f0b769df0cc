"""The whole devnet with real conductor processes, as a user runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import msgspec

from conductor.core.values import ServerId
from conductor.devnet.evidence import Evidence, read_evidence
from conductor.devnet.journal import read_journal
from conductor.devnet.verdict import judge
from conductor.store import open_store
from tests.devnet.builders import NODES, PUBLIC_KEYS

PROGRAM = [sys.executable, "-u", "-m", "conductor", "devnet", "--plain"]


def test_leader_is_killed_and_nothing_is_lost(tmp_path: Path) -> None:
    """Three conductors, a SIGKILL, a new leader, the old one back: the story of `scripts/demo`."""
    arguments = ["--payloads", "25", "--block-time-ms", "50", "--dir", str(tmp_path)]

    result = subprocess.run(
        [*PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=100,
    )

    output = result.stdout
    assert result.returncode == 0, output
    summary = re.fullmatch(r"(\d+) payloads gossiped, 0 lost, 0 forked", output.splitlines()[-2])
    assert summary is not None, output
    assert int(summary[1]) >= 25
    assert "killed with SIGKILL, it led" in output
    assert re.search(r"failover to node-\d: leader after \d+ ms", output)
    assert re.search(r"node-\d is back and caught up to height \d+", output)
    records = read_journal(tmp_path / "journal.jsonl")
    assert sum(record.event == "gossip" for record in records) == int(summary[1])
    assert len({record.node for record in records}) >= 2, "two nodes led"
    forged = msgspec.structs.replace(records[-1], height=10**6, payload_hash="00" * 32)
    assert judge(records, evidence_in(tmp_path)).passed
    assert len(judge([*records, forged], evidence_in(tmp_path)).lost) == 1, (
        "a planted loss is found"
    )


def test_interrupted_devnet_judges_and_leaves_no_process_behind(tmp_path: Path) -> None:
    arguments = ["--forever", "--block-time-ms", "50", "--dir", str(tmp_path)]
    with subprocess.Popen(
        [*PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as program:
        try:
            assert program.stdout is not None
            lines = []
            for line in program.stdout:
                lines.append(line)
                if "payloads certified and gossiped" in line:
                    break
            program.send_signal(signal.SIGINT)
            output = "".join([*lines, *program.stdout])
            assert program.wait(timeout=60) == 0, output
        finally:
            program.kill()
    assert "0 lost, 0 forked" in output
    nodes = [int(pid) for pid in re.findall(r"kill -9 (\d+)", output)]
    assert len(nodes) == 3
    assert not [pid for pid in nodes if is_alive(pid)]


def evidence_in(directory: Path) -> list[Evidence]:
    """What the stores of the three nodes prove."""
    return [
        read_evidence(name, partial(open_store, directory / name, ServerId(name)), PUBLIC_KEYS)
        for name in NODES
    ]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
