"""Holds the import contracts of `pyproject.toml`: who may know whom, and what stays pure."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_imports_obey_the_contracts() -> None:
    program = Path(sysconfig.get_path("scripts"), "lint-imports")
    result = subprocess.run(
        [program, "--no-cache"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
