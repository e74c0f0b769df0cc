"""Holds `docs/raft-state.md` to the program: its examples run, its tables name every flag."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import conductor.app
from conductor.cli.main import program as conductor_program
from conductor.config import Config
from conductor.core.founding import Founding
from conductor.exit_codes import ExitCode
from conductor.migration import read_beginning
from raft_state.cli.main import COMMANDS, known_variables, program
from raft_state.raft import StableState
from tests.raft_state.backup_states import running
from tests.raft_state.console_blocks import BACKUP, Example, examples_of, is_as_expected, run
from tests.raft_state.flawed_states import (
    IDS,
    add_snapshot,
    command,
    make_node,
    noop,
    payload,
    sets,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "raft-state.md"

FAILS = re.compile(r"\(exit code (\d+)\)")
"""How the page says that a command ends with another code than 0: behind its output."""

SECTION_OF_RUNNING_CONDUCTORS = "While conductors run"


def examples() -> list[Example]:
    return list(examples_of(PAGE.read_text("utf-8")))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """What the page takes for granted: a cluster that has run for a while, in `data`."""
    vote = StableState(2, 2, b"10.0.0.1:50050")
    entries = (sets(1), noop(2, 2), *(command(i, payload(97 + i), term=2) for i in range(3, 33)))
    for server_id in IDS:
        make_node(tmp_path / "data", entries, server_id=server_id, stable=vote)
    add_snapshot(
        tmp_path / "data" / IDS[0], 20, term=2, state=payload(117), unix_ms=1_751_889_600_000
    )
    return tmp_path


def test_every_example_does_what_the_page_says(place: Path) -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("OP_CONDUCTOR_")
    }
    for example in examples():
        with surroundings(example, place):
            outcome = run(with_real_backup(example.command, place), place, environment)
        expected, code = ending(example.expected)
        lines = outcome.lines
        assert is_as_expected(lines, expected, place), f"{example.command}\n" + "\n".join(lines)
        assert outcome.exit_code == code, example.command


def surroundings(example: Example, place: Path) -> AbstractContextManager[None]:
    """Conductors run where the page says so."""
    if example.section == SECTION_OF_RUNNING_CONDUCTORS:
        return running(*sorted((place / "data").iterdir()))
    return nullcontext()


def with_real_backup(command: str, place: Path) -> str:
    """The command with the name of the backup that was made last."""
    made = sorted(path.name for path in place.glob("backups/raft-backup-*"))
    return BACKUP.sub(made[-1], command) if made else command


def ending(expected: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
    """What is printed, and the exit code."""
    if expected and (found := FAILS.fullmatch(expected[-1])):
        return expected[:-1], int(found[1])
    return expected, ExitCode.OK


def test_conductors_of_ours_begin_as_the_page_says(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one in the example, and the two others like it: only the leader's folder has its vote."""
    (generated,) = (each for each in examples() if "--initial-term 5" in each.command)
    (typed,) = re.findall(r"^```bash\n([^`]*)^```$", PAGE.read_text("utf-8"), re.MULTILINE)
    foundings: list[Founding] = []

    def run_node(config: Config) -> int:
        assert config.raft_state_dir is not None
        foundings.append(read_beginning(config, config.raft_state_dir).founding)
        return 0

    monkeypatch.setattr(conductor.app, "run_node", run_node)
    monkeypatch.chdir(place)
    assert run(generated.command, place, os.environ).exit_code == 0

    for server_id in IDS:
        name, *options = shlex.split(typed.replace(IDS[0], server_id))
        result = CliRunner().invoke(conductor_program, options, prog_name=name)
        assert result.exit_code == 0, result.output

    assert [(found.first_promise, found.initial_leader) for found in foundings] == [
        (5, None),
        (5, "sequencer-2"),
        (5, None),
    ]


@pytest.mark.parametrize("name", ["generate", "verify", "info", "backup", "restore"])
def test_command_of_the_original_tool_is_in_an_example(name: str) -> None:
    assert any(f"op-conductor-init {name} " in example.command for example in examples())


def table(first_column: str) -> list[list[str]]:
    """The rows of the table whose first heading is that one, code marks left out."""
    rows: list[list[str]] = []
    inside = False
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif inside and not set(line) <= set("|- "):
            rows.append(cells)
        elif cells[0] == first_column:
            inside = True
    return rows


def options_of_program() -> Iterator[list[str]]:
    """Command, flag, variables and default of every option."""
    context = click.Context(program)
    for name in COMMANDS:
        found = program.get_command(context, name)
        assert found is not None
        for option in found.params:
            if not isinstance(option, click.Option):
                continue
            assert option.help is not None
            facts = re.search(r"\[(\S+(?: or \S+)*?)(?:; default: (.*))?\]$", option.help)
            assert facts is not None, option.help
            yield [
                name,
                ", ".join(option.opts),
                facts[1],
                "required" if is_required(option) else facts[2] or "",
            ]


def is_required(option: click.Option) -> bool:
    return option.required or (option.help or "").startswith("Required")


def test_every_option_is_documented_as_it_is() -> None:
    assert [row[:4] for row in table("command")] == list(options_of_program())


def test_every_variable_is_documented() -> None:
    documented = {name for row in table("command") for name in row[2].split(" or ")}

    assert documented == known_variables(click.Context(program))


def test_every_option_has_a_meaning() -> None:
    assert all(len(row[4]) > 15 for row in table("command"))


def test_exit_codes_are_those_of_the_program() -> None:
    """Codes of conductors that answer, or do not, cannot happen here."""
    possible = [
        code
        for code in ExitCode
        if code not in (ExitCode.DEGRADED, ExitCode.NO_LEADER, ExitCode.UNREACHABLE)
    ]

    assert [int(row[0]) for row in table("code")] == possible


def test_every_defect_of_the_original_tool_is_told() -> None:
    assert [int(row[0]) for row in table("#")] == list(range(1, 18))


def test_page_is_linked() -> None:
    """Every file that the page links to is there."""
    links = re.findall(r"\]\(([^)#]+)", PAGE.read_text("utf-8"))

    assert links
    assert all((PAGE.parent / link).is_file() for link in links)
