"""The program around its commands: help, version, endings, and what it does not import."""

from __future__ import annotations

import subprocess
import sys

import pytest

from conductor import __version__, errors
from conductor.cli.main import COMMANDS
from conductor.config import Config
from tests.cli.conftest import OpConductor


def test_version(op_conductor: OpConductor) -> None:
    assert op_conductor("--version").stdout == f"op-conductor {__version__}\n"


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_shows_commands_and_examples(op_conductor: OpConductor, flag: str) -> None:
    result = op_conductor(flag)

    assert result.exit_code == 0
    for word in (*COMMANDS, "op-conductor --identity 1", "Exit codes"):
        assert word in result.stdout


@pytest.mark.parametrize("arguments", ["run --help", "--identity 1 --help"])
def test_help_of_a_node_shows_sections_variables_and_defaults(
    op_conductor: OpConductor, arguments: str
) -> None:
    text = op_conductor(arguments).stdout

    for words in ("Addresses:", "Who leads:", "[OP_CONDUCTOR_COMMIT_TIMEOUT_MS; default: 800]"):
        assert words in " ".join(text.split())


def test_help_of_unknown_command_suggests(op_conductor: OpConductor) -> None:
    result = op_conductor("stauts")

    assert result.exit_code == 2
    assert result.stderr.startswith("error: No such command 'stauts'")
    assert "Try 'op-conductor --help'" in result.stderr


def test_error_of_a_node_ends_with_its_exit_code(
    op_conductor: OpConductor, started: list[Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_node(config: Config) -> int:
        raise errors.StoreLocked("the data directory is in use: stop the other conductor")

    monkeypatch.setattr(sys.modules["conductor.app"], "run_node", run_node)

    result = op_conductor("run")

    assert result.exit_code == 7
    assert result.stderr == ("error: the data directory is in use: stop the other conductor\n")


def test_interrupt_ends_as_shells_expect(
    op_conductor: OpConductor, started: list[Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_node(config: Config) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["conductor.app"], "run_node", run_node)

    assert op_conductor("run").exit_code == 130


def test_commands_complete_before_anything_is_typed(op_conductor: OpConductor) -> None:
    env = {
        "_OP_CONDUCTOR_COMPLETE": "bash_complete",
        "COMP_WORDS": "op-conductor ",
        "COMP_CWORD": "1",
    }

    assert "plain,status" in op_conductor("", env=env).stdout.split()


def test_options_of_a_node_complete_without_a_command(op_conductor: OpConductor) -> None:
    env = {
        "_OP_CONDUCTOR_COMPLETE": "bash_complete",
        "COMP_WORDS": "op-conductor --identity 1 --pee",
        "COMP_CWORD": "3",
    }

    assert "plain,--peers" in op_conductor("", env=env).stdout.split()


def test_help_loads_nothing_heavy() -> None:
    """Help answers at once because no command's libraries are imported for it."""
    code = (
        "import sys\n"
        "from conductor.cli.main import program\n"
        "from conductor.cli.main import COMMANDS\n"
        "for command in ([], *([name] for name in COMMANDS)):\n"
        "    program.main([*command, '--help'], standalone_mode=False)\n"
        "heavy = {'aiohttp', 'cryptography', 'google', 'grpc', 'rich', 'structlog'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )

    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("command", ["status", *list(COMMANDS)[2:9]])
def test_help_of_a_client_teaches_by_examples(op_conductor: OpConductor, command: str) -> None:
    result = op_conductor(f"{command} --help")

    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    assert f"op-conductor {command}" in text.partition("Examples:")[2]
    assert "[OP_CONDUCTOR_SERVER; default: 127.0.0.1:18080]" in text
    assert "Exits with 0" in text


def test_error_of_a_server_cannot_steer_the_terminal(
    op_conductor: OpConductor, started: list[Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_node(config: Config) -> int:
        raise errors.PeerError("it says \x1b]0;owned\x07")

    monkeypatch.setattr(sys.modules["conductor.app"], "run_node", run_node)

    assert op_conductor("run").stderr == "error: it says \\x1b]0;owned\\x07\n"


def test_package_runs_as_a_program() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "conductor", "--version"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.stdout == f"op-conductor {__version__}\n"
