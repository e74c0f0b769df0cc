"""The configuration file: nothing in it is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.config import Config
from tests.cli.conftest import OpConductor


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('bind_adr = "x"', "unknown key 'bind_adr': did you mean 'bind_addr'?"),
        ('bind-addr = "x"', "unknown key 'bind-addr': did you mean 'bind_addr'?"),
        ("zzz = 1", "unknown key 'zzz'; the keys are advertise_addr, bind_addr, "),
        ('config = "other.toml"', "unknown key 'config'"),
        ("[conductor]\nidentity = 1", "unknown key 'conductor'"),
        ('identity = "1"', "identity must be an integer, not a string: '1'"),
        ("identity = true", "identity must be an integer, not true or false"),
        ("identity = 1.0", "identity must be an integer, not a fraction"),
        ("identity = 1979-05-27", "identity must be an integer, not a date or time"),
        ("paused = 1", "paused must be true or false, not an integer"),
        ("bind_addr = 8080", "bind_addr must be a string, not an integer"),
        ('peers = "http://a:1"', "peers must be a list of strings, not a string"),
        ('peers = ["http://a:1", 2]', "peers must be a list of strings, not a list of others"),
        ("peers = {}", "peers must be a list of strings, not a table"),
        (r'data_dir = "a\u0000b"', "data_dir holds a NUL character"),
        ('peers = ["a"]', "peers in the configuration file (which is --peers): 'a' is no peer"),
        ("retain_payloads = 0", "retain_payloads in the configuration file"),
        ('log_format = "xml"', "log_format in the configuration file"),
        ("identity = 1\nidentity = 2", "is not TOML"),
        ("identity =", "is not TOML"),
        ("x = " + "[" * 5000, "is not TOML"),
        ("identity = " + "9" * 5000, "is not TOML"),
        ("#" * 2**20 + "\n", "is no configuration: it has more than 1048576 bytes"),
    ],
)
def test_file_that_cannot_be_meant_is_refused_naming_the_key(
    op_conductor: OpConductor, started: list[Config], tmp_path: Path, content: str, expected: str
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(content)

    result = op_conductor("--config", str(file))

    assert result.exit_code == 2
    assert expected in result.stderr
    assert not started


def test_error_names_the_file(op_conductor: OpConductor, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("x = 1")

    assert f"error: {file}: unknown key 'x'" in op_conductor("--config", str(file)).stderr


def test_unreadable_file_is_refused(op_conductor: OpConductor, tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")

    missing = op_conductor("--config", str(tmp_path / "none.toml"))
    folder = op_conductor("--config", str(tmp_path))

    assert (missing.exit_code, folder.exit_code) == (2, 2)
    assert "none.toml cannot be read: No such file or directory" in missing.stderr
    assert "Is a directory" in folder.stderr
    assert "is not TOML" in op_conductor("--config", str(binary)).stderr


def test_seed_above_64_signed_bits_is_read(
    op_conductor: OpConductor, started: list[Config], tmp_path: Path
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"identity = {2**64 - 1}")

    assert op_conductor("--config", str(file)).exit_code == 0
    assert started[0].identity_seed == 2**64 - 1
