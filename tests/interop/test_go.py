"""The judge itself: it can say no, and it is missed only where nobody requires it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from raft_state.bolt import open_database, write_database
from raft_state.bolt.layout import PAGE_HEADER_BYTES
from raft_state.raft import CONF, LOGS
from tests.interop import go


@pytest.fixture
def no_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Go."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(go.REQUIRED, raising=False)


@pytest.fixture
def broken_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nothing can be built."""
    (tmp_path / "go").write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
    (tmp_path / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(go.REQUIRED, raising=False)


@pytest.mark.usefixtures("no_go")
def test_missing_go_skips() -> None:
    with pytest.raises(pytest.skip.Exception, match="no `go` on the PATH"):
        go.build("newest")


@pytest.mark.usefixtures("no_go")
def test_missing_go_fails_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(go.REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="no `go` on the PATH"):
        go.build("newest")


@pytest.mark.usefixtures("broken_sources")
def test_build_that_fails_skips() -> None:
    with pytest.raises(pytest.skip.Exception, match="no network"):
        go.build("newest")


@pytest.mark.usefixtures("broken_sources")
def test_build_that_fails_fails_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(go.REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="no network"):
        go.build("newest")


@pytest.mark.timeout(go.BUILD_TIMEOUT_S)
@pytest.mark.parametrize("name", list(go.MODULE_FILES))
def test_sources_are_formatted_and_vetted(name: str) -> None:
    program = go.find_go()
    vet = [program, "vet", f"-modfile={go.MODULE_FILES[name]}", "."]
    root = subprocess.check_output([program, "env", "GOROOT"], text=True).strip()
    for command in ([f"{root}/bin/gofmt", "-d", "."], vet):
        done = subprocess.run(command, cwd=go.SOURCES, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_raftkit_that_ends_badly_is_no_report() -> None:
    with pytest.raises(go.Findings, match="damaged"):
        go.report_of('[{"errors": ["page 7"]}]', "damaged", 1)


def test_check_minds_a_page_that_nobody_owns(raftkit: go.Raftkit, tmp_path: Path) -> None:
    """A judge that never says no would prove nothing."""
    path = tmp_path / "raft-log.db"
    write_database(path, {LOGS: [], CONF: []})
    raftkit.check(path)

    with open_database(path) as database:
        meta = database.meta
    with path.open("r+b") as file:
        for transaction in (meta.transaction_id - 1, meta.transaction_id):
            file.seek(transaction % 2 * meta.page_bytes + PAGE_HEADER_BYTES)
            wrong = replace(meta, transaction_id=transaction, page_count=meta.page_count + 1)
            file.write(wrong.pack())
        file.truncate((meta.page_count + 1) * meta.page_bytes)

    with pytest.raises(go.Findings, match="unreachable unfreed"):
        raftkit.check(path)
