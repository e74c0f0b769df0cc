"""Holds `docs/options.md` to the program: what one of them has, the other has."""

from __future__ import annotations

import re
from pathlib import Path

from conductor.cli.client_options import CLIENT_OPTIONS
from conductor.cli.node_options import NODE_OPTIONS
from conductor.exit_codes import ExitCode

PAGE = Path(__file__).resolve().parent.parent / "docs" / "options.md"


def table(first_column: str) -> list[list[str]]:
    """The rows of the tables whose first heading is that one, code marks left out."""
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


def test_every_option_of_a_node_is_documented_as_it_is() -> None:
    documented = [row[:4] for row in table("option") if len(row) == 5]

    assert documented == [
        [
            option.flag,
            option.variable,
            option.toml_key if option.flag != "--config" else "",
            option.default_text,
        ]
        for option in NODE_OPTIONS
    ]


def test_every_option_of_a_client_is_documented_as_it_is() -> None:
    documented = [row[:3] for row in table("option") if len(row) == 4]

    assert documented == [
        [option.flag, option.variable, option.default_text] for option in CLIENT_OPTIONS
    ]


def test_every_option_has_a_meaning() -> None:
    assert all(len(row[-1]) > 20 for row in table("option"))


def test_every_exit_code_is_documented() -> None:
    assert [int(row[0]) for row in table("code")] == list(ExitCode)


def test_default_texts_tell_the_defaults() -> None:
    """A default that is a plain value is shown as that value."""
    for option in (*NODE_OPTIONS, *CLIENT_OPTIONS):
        default = option.to_info_dict()["default"]
        value = default[0] if isinstance(default, list | tuple) and default else default
        if isinstance(value, str | int):
            shown = str(value).lower() if isinstance(value, bool) else str(value)
            assert re.split("[ ,]", option.default_text)[0] == shown, option.flag
