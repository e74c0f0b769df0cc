"""Holds the runbooks of recover, export-payload and diff to the program: their examples run."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from conductor.cli.main import program as conductor_program
from raft_state.cli.main import program
from raft_state.raft import StableState
from raft_state.recover import plan_recovery
from tests.raft_state.backup_states import running
from tests.raft_state.console_blocks import BACKUP, examples_of, is_as_expected, run
from tests.raft_state.flawed_states import IDS, command, make_node, noop, payload, sets
from tests.raft_state.recover_states import NEW_MEMBERS

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "runbooks"
PAGES = ("recover.md", "export-payload.md", "diff.md")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """What the pages take for granted: `data` of a whole cluster, `survivors` of two of three."""
    log = (sets(1), noop(2, 2), *(command(i, payload(97 + i), term=2) for i in range(3, 33)))
    for folder, ids in (("data", IDS), ("survivors", IDS[:2])):
        for number, server_id in enumerate(ids):
            entries = log if number == 0 else log[:30]
            stable = StableState(2, 2, b"10.0.0.1:50050")
            make_node(tmp_path / folder, entries, server_id=server_id, stable=stable)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_every_example_does_what_the_page_says(page: str, place: Path) -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("OP_CONDUCTOR_")
    }
    examples = list(examples_of((FOLDER / page).read_text("utf-8")))
    for example in examples:
        made = sorted(path.name for path in place.glob("backups/raft-backup-*"))
        typed = BACKUP.sub(made[-1], example.command) if made else example.command
        if "--live" in typed:
            with running(*(place / "data" / name for name in IDS)):
                outcome = run(typed, place, environment)
        else:
            outcome = run(typed, place, environment)
        lines = outcome.lines
        assert is_as_expected(lines, example.expected, place), f"{typed}\n" + "\n".join(lines)
    assert len(examples) >= 3


def test_refusals_on_the_page_are_those_of_the_program() -> None:
    source = "\n".join(
        path.read_text("utf-8")
        for folder in ("recover", "exchange")
        for path in (FOLDER.parents[1] / "raft_state" / folder).glob("*.py")
    )
    said = re.sub(r'"\s*f?"', "", source)
    page = (FOLDER / "recover.md").read_text("utf-8")
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", page, re.MULTILINE)[2:]

    assert len(rows) == 7
    for row in rows:
        assert all(part in said for part in map(str.strip, row.split("...")))


def test_members_of_the_page_are_a_plan(place: Path) -> None:
    assert plan_recovery(place / "survivors", NEW_MEMBERS).outlook.absent == ("sequencer-4",)


def inline_commands() -> Iterator[str]:
    """What the pages name in their sentences and tables."""
    for page in sorted(FOLDER.glob("*.md")):
        sentences = re.sub(
            r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL
        )
        for code in re.findall(r"`([^`]+)`", sentences):
            if re.match(r"op-conductor(-init)?\s", code):
                yield " ".join(code.split())


@pytest.mark.parametrize("typed", sorted(set(inline_commands())))
def test_commands_in_sentences_have_the_options_that_are_named(typed: str) -> None:
    name, *arguments = shlex.split(typed)
    command: click.Command = program if name == "op-conductor-init" else conductor_program
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), arguments.pop(0))
        assert found is not None
        command = found

    # What is required need not be there; an option that does not exist raises.
    parser = command.make_parser(click.Context(command))
    flags = [each for each in arguments if each.startswith("-")]
    assert all(each.partition("=")[0] in {*parser._long_opt, *parser._short_opt} for each in flags)
