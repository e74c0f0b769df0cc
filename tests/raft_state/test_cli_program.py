"""The program around the commands: help, prefix, variables, endings, and what it prints safely."""

from __future__ import annotations

import enum
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from conductor import __version__
from raft_state.cli.environment import unknown_variables
from raft_state.cli.main import COMMANDS
from raft_state.cli.output import as_json, print_json, printable, progress
from tests.raft_state.conftest import OpConductorInit

KNOWN = frozenset({"OP_CONDUCTOR_INIT_NODES", "OP_CONDUCTOR_INIT_FORCE"})


def test_version(op_conductor_init: OpConductorInit) -> None:
    assert op_conductor_init("--version").stdout == f"op-conductor-init {__version__}\n"


@pytest.mark.parametrize("arguments", ["--help", "-h", "", "raft", "raft --help"])
def test_help_shows_commands_and_examples(
    op_conductor_init: OpConductorInit, arguments: str
) -> None:
    result = op_conductor_init(arguments)

    assert result.exit_code == 0
    for word in (*COMMANDS, "OP_CONDUCTOR_INIT_STATE_DIR is --state-dir", "Exit codes"):
        assert word in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_names_variables_and_has_examples(
    op_conductor_init: OpConductorInit, command: str
) -> None:
    result = op_conductor_init(f"raft {command} --help")

    assert result.exit_code == 0
    assert "OP_CONDUCTOR_INIT_OUTPUT" in result.stdout
    assert f"op-conductor-init {command} " in result.stdout.partition("Examples:")[2]


def test_unknown_command_is_an_error_of_usage(op_conductor_init: OpConductorInit) -> None:
    result = op_conductor_init("raft generat")

    assert result.exit_code == 2
    assert result.stderr.startswith("error: No such command 'generat'")
    assert "Try 'op-conductor-init --help'" in result.stderr


def test_unknown_variable_is_warned_about(op_conductor_init: OpConductorInit) -> None:
    result = op_conductor_init(
        "generate --help", env={"OP_CONDUCTOR_INIT_NODE": "a:1", "OP_CONDUCTOR_INIT_STATE_DIR": "x"}
    )

    assert result.stderr == (
        "warning: the environment variable OP_CONDUCTOR_INIT_NODE is not an option and is "
        "ignored: did you mean OP_CONDUCTOR_INIT_NODES?\n"
    )


@pytest.mark.parametrize(
    "name",
    [
        "OP_CONDUCTOR_INIT_NODES",
        "OP_CONDUCTOR_NODES",
        "HOME",
        # Services called op-conductor-init and op-conductor-init-job.
        "OP_CONDUCTOR_INIT_SERVICE_HOST",
        "OP_CONDUCTOR_INIT_PORT",
        "OP_CONDUCTOR_INIT_PORT_8080_TCP_ADDR",
        "OP_CONDUCTOR_INIT_JOB_SERVICE_PORT_GRPC",
    ],
)
def test_variable_with_a_meaning_passes(name: str) -> None:
    assert unknown_variables([name], KNOWN) == ()


def test_commands_complete_behind_the_prefix(op_conductor_init: OpConductorInit) -> None:
    env = {
        "_OP_CONDUCTOR_INIT_COMPLETE": "bash_complete",
        "COMP_WORDS": "op-conductor-init raft gen",
        "COMP_CWORD": "2",
    }

    assert op_conductor_init("", env=env).stdout.split() == ["plain,generate"]


def test_refusal_of_the_system_is_one_line(
    op_conductor_init: OpConductorInit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/some/\x1bwhere")

    monkeypatch.setattr("raft_state.cli.generate.items_of", refuse)

    result = op_conductor_init("generate --nodes a:1")

    assert result.exit_code == 1
    assert result.stderr == "error: /some/\\x1bwhere: Permission denied\n"


def test_reader_that_leaves_early_is_no_error() -> None:
    code = "from raft_state.cli.main import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from raft_state.cli.main import COMMANDS, program\n"
        "for command in ([], *([name] for name in COMMANDS)):\n"
        "    program.main([*command, '--help'], standalone_mode=False)\n"
        "heavy = {'aiohttp', 'cryptography', 'google', 'grpc', 'rich', 'mmap'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )

    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr


class Colour(enum.IntEnum):
    DARK_RED = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """One of everything that a report may hold."""

    path: Path
    data: bytes
    view: memoryview
    colour: Colour
    children: tuple[Sample, ...]
    names: dict[bytes, int | None]


def test_reports_become_json(capsys: pytest.CaptureFixture[str]) -> None:
    leaf = Sample(Path("b"), b"", memoryview(b"\x01"), Colour.DARK_RED, (), {})
    sample = Sample(Path("a"), b"\xff", memoryview(b""), Colour.DARK_RED, (leaf,), {b"k": None})

    print_json(sample)

    assert json.loads(capsys.readouterr().out) == {
        "path": "a",
        "data": "ff",
        "view": "",
        "colour": "dark_red",
        "children": [
            {
                "path": "b",
                "data": "",
                "view": "01",
                "colour": "dark_red",
                "children": [],
                "names": {},
            }
        ],
        "names": {"6b": None},
    }


def test_what_has_no_form_in_json_is_a_bug() -> None:
    with pytest.raises(TypeError, match="object has no form"):
        as_json(object())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("séq-1:50050", "séq-1:50050"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\nb", "a\\nb"),
        ("\udcff", "\\xff"),
        ("\ud800", "\\ud800"),
        ("\u202e", "\\u202e"),
    ],
)
def test_text_from_files_is_made_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("checking") as report:
        report(1, 2)

    assert capsys.readouterr() == ("", "")


def test_progress_draws_on_the_terminal_of_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    with progress("checking") as report:
        report(1, 2)

    captured = capsys.readouterr()
    assert captured.out == ""
    assert "checking" in captured.err
