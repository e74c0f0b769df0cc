"""Runs the program in this process, with a clean environment and a stand-in for the node itself."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
from click.testing import CliRunner, Result

from conductor.cli.main import program
from conductor.config import Config
from tests.cli.servers import FakeCluster, Servers, servers_in_a_thread

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


@pytest.fixture
def servers() -> Iterator[Servers]:
    with servers_in_a_thread() as servers:
        yield servers


@pytest.fixture
def cluster(servers: Servers) -> FakeCluster:
    return FakeCluster(servers)


@pytest.fixture
def closed_port() -> Iterator[str]:
    """An address where nothing listens, and nothing will while the test runs."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def silent_port() -> Iterator[str]:
    """An address where connections are taken and nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"127.0.0.1:{silent.getsockname()[1]}"
