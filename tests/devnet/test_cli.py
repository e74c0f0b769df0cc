"""The command: its options, and what it does with directories."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from conductor.devnet.cli import devnet


def test_help_names_every_option() -> None:
    text = CliRunner().invoke(devnet, ["--help"]).output

    for name in ("nodes", "payloads", "block-time-ms", "payload-bytes", "rounds", "seed"):
        assert f"--{name} " in text
    for name in ("forever", "dir", "keep", "plain"):
        assert f"--{name} " in text


def test_directory_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("data")

    result = CliRunner().invoke(devnet, ["--dir", str(tmp_path)])

    assert result.exit_code == 2
    assert "is not empty" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


@pytest.mark.parametrize(
    "option", ["--nodes=0", "--nodes=10", "--payloads=0", "--rounds=-1", "--block-time-ms=0"]
)
def test_number_out_of_range_is_refused(option: str) -> None:
    assert CliRunner().invoke(devnet, [option]).exit_code == 2
