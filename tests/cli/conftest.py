"""Runs the program in this process, with a clean environment and a stand-in for the node itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import ModuleType

import pytest
from click.testing import CliRunner, Result

from conductor.cli.main import program
from conductor.config import Config

OpConductor = Callable[..., Result]
"""Runs `op-conductor` with these arguments: one string as in a shell, or several."""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the developer's shell is an option of a test."""
    for name in os.environ:
        if name.startswith("OP_CONDUCTOR_"):
            monkeypatch.delenv(name)


@pytest.fixture
def op_conductor() -> OpConductor:
    runner = CliRunner()

    def invoke(*arguments: str, env: dict[str, str] | None = None) -> Result:
        line = arguments[0] if len(arguments) == 1 else arguments
        return runner.invoke(program, line, prog_name="op-conductor", env=env)

    return invoke


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configurations of the nodes that were started; each ends at once with exit code 0."""
    configs: list[Config] = []

    def run_node(config: Config) -> int:
        configs.append(config)
        return 0

    app = ModuleType("conductor.app")
    vars(app)["run_node"] = run_node
    monkeypatch.setitem(sys.modules, "conductor.app", app)
    return configs
