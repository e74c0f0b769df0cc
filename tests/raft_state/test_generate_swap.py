"""`generate` under conductors that start, owners that differ, and a system that refuses."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from conductor.errors import StoreError, StoreLocked
from raft_state.generate import ClusterRequest, generate_cluster
from raft_state.node import DATABASES, LOG_FILE
from tests.raft_state.backup_states import tree
from tests.raft_state.starting_conductor import StartingConductor

IDS = ("seq-1", "seq-2")
REQUEST = ClusterRequest(["a:1", "b:1"], IDS, "seq-1")


def settled() -> None:
    """No conductor comes."""


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A directory with the state of a cluster."""
    generate_cluster(REQUEST, tmp_path / "raft-state")
    return tmp_path / "raft-state"


def before_the_first_rename(patch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    acts = iter([act])
    rename = os.rename

    def acting(source: Path, target: Path) -> None:
        for each in acts:
            each()
        rename(source, target)

    patch.setattr(os, "rename", acting)


def test_conductor_that_waits_for_an_old_database_gives_up(out: Path) -> None:
    late = StartingConductor(out / "seq-2")

    generate_cluster(REQUEST, out, force=True, settled=late.ask)

    assert late.gave_up
    again = StartingConductor(out / "seq-2")
    again.ask()
    assert again.holds(out / "seq-2")
    again.stop()


@pytest.mark.parametrize("force", [False, True])
def test_conductor_that_starts_in_an_empty_folder_keeps_what_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    for name in IDS:
        (tmp_path / name).mkdir()
    conductors: list[StartingConductor] = []

    def start() -> None:
        conductors.append(StartingConductor(tmp_path / "seq-2"))
        conductors[0].ask()

    before_the_first_rename(monkeypatch, start)

    with pytest.raises(StoreLocked, match=r"seq-2/raft-log.db appeared.*stop it now"):
        generate_cluster(REQUEST, tmp_path, force=force, settled=settled)

    assert conductors[0].holds(tmp_path / "seq-2")
    conductors[0].stop()
    assert sorted(tree(tmp_path)) == ["seq-1", "seq-2", *(f"seq-2/{name}" for name in DATABASES)]


@pytest.mark.parametrize("name", ["snapshots", "notes.txt"])
def test_whatever_appears_in_an_empty_folder_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "seq-1").mkdir()
    before_the_first_rename(monkeypatch, (tmp_path / "seq-1" / name).mkdir)

    with pytest.raises(StoreLocked, match="appeared"):
        generate_cluster(REQUEST, tmp_path, settled=settled)

    assert sorted(tree(tmp_path)) == ["seq-1", f"seq-1/{name}"]


def test_database_that_appears_beside_another_is_kept(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (out / "seq-1" / LOG_FILE).unlink()
    before_the_first_rename(
        monkeypatch, lambda: (out / "seq-1" / LOG_FILE).write_bytes(b"a conductor's")
    )

    with pytest.raises(StoreLocked, match=r"seq-1/raft-log.db appeared"):
        generate_cluster(REQUEST, out, force=True, settled=settled)

    assert (out / "seq-1" / LOG_FILE).read_bytes() == b"a conductor's"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_owner_and_mode_of_what_was_there_are_kept(out: Path) -> None:
    for name, number in (("seq-1", 1234), ("seq-2", 2345)):
        for path in (out / name, *(out / name).iterdir()):
            os.chown(path, number, number + 1)
            path.chmod(0o750 if path.is_dir() else 0o640)
    shutil.rmtree(out / "seq-2")
    (out / "seq-2").mkdir(0o700)
    os.chown(out / "seq-2", 77, 88)

    generate_cluster(REQUEST, out, force=True, settled=settled)

    found = {
        str(path.relative_to(out)): (status.st_uid, status.st_gid, status.st_mode & 0o777)
        for path in out.rglob("*")
        for status in [path.stat()]
    }
    assert found == {
        "seq-1": (1234, 1235, 0o750),
        "seq-1/raft-log.db": (1234, 1235, 0o640),
        "seq-1/raft-stable.db": (1234, 1235, 0o640),
        "seq-2": (77, 88, 0o700),
        "seq-2/raft-log.db": (77, 88, 0o600),
        "seq-2/raft-stable.db": (77, 88, 0o600),
    }


def test_state_that_cannot_be_given_to_its_owner_is_remarked_on(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raft_state.generate.swap.give", lambda *_: False)

    report = generate_cluster(REQUEST, out, force=True, settled=settled)

    assert [
        f"{out / name} belongs to the user" in text
        for name, text in zip(IDS, report.warnings[-2:], strict=True)
    ] == [True, True]


def test_rest_that_cannot_be_removed_is_a_warning(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *, ignore_errors: bool = False) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(shutil, "rmtree", refuse)

    report = generate_cluster(REQUEST, out, force=True, settled=settled)

    assert report.written
    assert "what was replaced cannot be removed: Permission denied" in report.warnings[-1]


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("place", [".", "seq-2", "not/there"])
def test_directory_that_cannot_be_written_to_is_refused_in_a_dry_run_too(
    out: Path, monkeypatch: pytest.MonkeyPatch, dry_run: bool, place: str
) -> None:
    refused = out if place == "not/there" else out / place
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != refused and access(path, mode))
    before = tree(out)

    with pytest.raises(StoreError, match="cannot write"):
        generate_cluster(
            REQUEST, out / ("." if place == "seq-2" else place), force=True, dry_run=dry_run
        )

    assert tree(out) == before
