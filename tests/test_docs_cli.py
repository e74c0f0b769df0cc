"""Holds `docs/cli.md` to the program: its commands, their options, examples and exit codes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from conductor.cli.client_options import OPTIONS
from conductor.cli.main import COMMANDS, program
from conductor.cli.options import EnvironmentOption
from conductor.exit_codes import ExitCode

PAGE_PATH = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
PAGE = PAGE_PATH.read_text("utf-8")


def section(name: str) -> str:
    """What stands under that heading."""
    found = re.search(rf"^## {re.escape(name)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"no section {name!r}"
    return found[1]


def table(text: str, first_column: str) -> list[list[str]]:
    """The rows of the tables whose first heading is that one, code marks left out."""
    rows: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        cells = [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif inside and not set(line) <= set("|- "):
            rows.append(cells)
        elif cells[0] == first_column:
            inside = True
    return rows


def command_of(name: str) -> click.Command:
    command = program.get_command(click.Context(program), name)
    assert command is not None
    return command


def test_every_command_is_listed_in_the_order_of_the_help() -> None:
    listed = [re.sub(r"\[(.*)\]\(.*\)", r"\1", row[0]) for row in table(PAGE, "command")]

    assert listed == list(COMMANDS)
    assert [
        name for name in re.findall(r"^## (.*)$", PAGE, re.MULTILINE) if name in COMMANDS
    ] == listed


def test_help_of_an_override_points_to_the_way_out_that_is_documented() -> None:
    operations = (PAGE_PATH.parent / "operations.md").read_text("utf-8")
    examples = " ".join((command_of("override-leader").epilog or "").split())

    assert '"Form a cluster anew" in docs/operations.md' in examples
    assert "### Form a cluster anew\n" in operations


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_of_a_client_is_documented_as_it_is(name: str) -> None:
    options = [param for param in command_of(name).params if isinstance(param, EnvironmentOption)]
    rows = table(section(name), "option")

    assert [row[:3] for row in rows] == [
        [option.flag, option.variable, option.default_text] for option in options
    ]
    assert options == list(OPTIONS[name]), "the variables that `run` knows come from there"
    assert all(len(row[3]) > 20 for row in rows)


@pytest.mark.parametrize("name", ["keygen", "devnet"])
def test_every_option_of_a_tool_is_documented(name: str) -> None:
    options = [param for param in command_of(name).params if isinstance(param, click.Option)]

    assert [row[0] for row in table(section(name), "option")] == [
        option.opts[-1] for option in options
    ]


def test_default_texts_tell_the_defaults() -> None:
    for option in {option for options in OPTIONS.values() for option in options}:
        default = option.to_info_dict()["default"]
        value = default[0] if isinstance(default, list) else default
        if isinstance(value, str | int):
            shown = str(value).lower() if isinstance(value, bool) else str(value)
            assert option.default_text == shown, option.flag


def test_short_names_are_told() -> None:
    for name, options in OPTIONS.items():
        rows = {row[0]: row[3] for row in table(section(name), "option")}
        for option in options:
            for short in (text for text in option.opts if text != option.flag):
                assert f"Short: {short}." in rows[option.flag]


def test_every_exit_code_is_documented() -> None:
    assert [int(row[0]) for row in table(section("Exit codes"), "code")] == list(ExitCode)


def examples() -> Iterator[str]:
    """Every command line of the page, and of the help of the commands that ask conductors."""
    texts = [PAGE, *(command_of(name).epilog or "" for name in OPTIONS)]
    for text in texts:
        for line in re.findall(r"^ *(op-conductor (?:[a-z]).*)$", text, re.MULTILINE):
            yield re.split(r" [|>#] ", line)[0]


@pytest.mark.parametrize("line", sorted(set(examples())))
def test_example_can_be_typed(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    # A cluster id that was shortened for the eye.
    arguments = [re.sub(r"^[0-9a-f]+\.\.\.$", "00" * 32, argument) for argument in arguments]

    command = command_of(name)
    if isinstance(command, click.Group):
        name, *arguments = arguments
        command = command.commands[name]
    with command.make_context(name, arguments) as context:
        assert context.args == []
