"""Runs `op-conductor-init` in this process, with a clean environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import pytest
from click.testing import CliRunner, Result

from raft_state.cli.main import program

OpConductorInit = Callable[..., Result]
"""Runs `op-conductor-init` with these arguments: one string as in a shell, or several."""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the developer's shell is an option of a test."""
    for name in os.environ:
        if name.startswith("OP_CONDUCTOR_"):
            monkeypatch.delenv(name)


@pytest.fixture
def op_conductor_init() -> OpConductorInit:
    runner = CliRunner()

    def invoke(
        *arguments: str, env: Mapping[str, str] | None = None, answer: str | None = None
    ) -> Result:
        line = arguments[0] if len(arguments) == 1 else arguments
        return runner.invoke(program, line, prog_name="op-conductor-init", env=env, input=answer)

    return invoke
