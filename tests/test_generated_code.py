"""Holds the protobuf files to their rules, and the committed code to the protobuf files."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUF = Path(sysconfig.get_path("scripts"), "buf")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param([sys.executable, "scripts/gen_proto.py", "--check"], id="code-is-fresh"),
        pytest.param([BUF, "lint"], id="protos-are-clean"),
    ],
)
def test_protobuf_check_passes(command: list[str | Path]) -> None:
    result = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
