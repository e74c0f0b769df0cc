"""The Go clients are missed only where nobody requires them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop import go, go_tools

tools = pytest.mark.parametrize("tool", [go_tools.grpcurl, go_tools.gethclient])


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where nothing was built yet; the folder is the PATH as well."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(go.REQUIRED, raising=False)
    return tmp_path


@tools
def test_missing_go_skips_or_fails_where_it_is_required(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, tool: Callable[[], Path]
) -> None:
    with pytest.raises(pytest.skip.Exception, match="no `go` on the PATH"):
        tool()
    monkeypatch.setenv(go.REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="no `go` on the PATH"):
        tool()


@tools
def test_build_that_fails_says_why(empty_cache: Path, tool: Callable[[], Path]) -> None:
    (empty_cache / "go").write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
    (empty_cache / "go").chmod(0o755)
    with pytest.raises(pytest.skip.Exception, match="no network"):
        tool()


def test_installed_program_is_asked_of_nobody(empty_cache: Path) -> None:
    program = go.cache_directory() / f"grpcurl-{go_tools.GRPCURL_VERSION}" / "grpcurl"
    program.parent.mkdir()
    program.touch()
    assert go_tools.grpcurl() == program
