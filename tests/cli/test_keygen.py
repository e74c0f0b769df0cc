"""`op-conductor keygen`: a key for a node, never over another."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.identity import load_key
from tests.cli.conftest import OpConductor


def test_key_is_written_and_its_public_half_printed(
    op_conductor: OpConductor, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "key.pem"

    result = op_conductor("keygen", "--out", str(path))

    assert result.exit_code == 0, result.stderr
    assert result.stdout == load_key(path).public_key.hex() + "\n"
    assert str(path) in result.stderr
    assert path.stat().st_mode & 0o777 == 0o600


def test_key_goes_to_identity_pem_by_default(
    op_conductor: OpConductor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert op_conductor("keygen").exit_code == 0
    assert [file.name for file in tmp_path.iterdir()] == ["identity.pem"]


def test_key_is_never_overwritten(op_conductor: OpConductor, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    op_conductor("keygen", "--out", str(path))
    before = path.read_bytes()

    result = op_conductor("keygen", "--out", str(path))

    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {path} exists and is kept")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_key_is_shown(op_conductor: OpConductor, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    made = op_conductor("keygen", "--out", str(path)).stdout

    assert op_conductor("keygen", "--show", str(path)).stdout == made


def test_missing_key_is_not_shown(op_conductor: OpConductor, tmp_path: Path) -> None:
    result = op_conductor("keygen", "--show", str(tmp_path / "none.pem"))

    assert result.exit_code == 2
    assert "there is no key" in result.stderr


def test_making_and_showing_exclude_each_other(op_conductor: OpConductor) -> None:
    result = op_conductor("keygen --out a --show b")

    assert result.exit_code == 2
    assert "give one of them" in result.stderr
