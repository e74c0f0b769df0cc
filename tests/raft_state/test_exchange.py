"""Renames are made all together or not at all; what only one command needs is tested with it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from conductor.errors import StoreError, StoreFull
from raft_state.exchange import DatabaseLocks, disk_errors, exchange, make_directories
from tests.raft_state.backup_states import tree


def no_locks() -> DatabaseLocks:
    return DatabaseLocks((), exclusive=True)


def test_rename_that_was_not_made_any_more_is_not_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C comes between two renames: what has the later name is somebody else's."""
    for name in ("a", "b", "d"):
        (tmp_path / name).mkdir()
    before = tree(tmp_path)
    rename = os.rename

    def interrupted(source: Path, target: Path) -> None:
        if source.name == "b":
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", interrupted)

    with pytest.raises(KeyboardInterrupt):
        exchange(
            [(tmp_path / "a", tmp_path / "c"), (tmp_path / "b", tmp_path / "d")],
            no_locks(),
            no_locks(),
        )

    assert tree(tmp_path) == before


def test_every_folder_that_gained_or_lost_a_name_is_made_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("from/a", "to", "other"):
        (tmp_path / name).mkdir(parents=True)
    synced: list[str] = []

    def sync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "fsync", sync)

    exchange(
        [(tmp_path / "from/a", tmp_path / "to/a"), (tmp_path / "to/a", tmp_path / "to/b")],
        no_locks(),
        no_locks(),
    )

    assert synced == ["from", "to"]


def test_directories_that_cannot_all_be_made_are_gone_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = iter([None, OSError(errno.EIO, "Input/output error")])

    def sync(descriptor: int) -> None:
        error = next(results)
        if error is not None:
            raise error

    monkeypatch.setattr(os, "fsync", sync)

    with pytest.raises(OSError, match="Input/output"):
        make_directories(tmp_path / "a" / "b" / "c")

    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, StoreFull), (errno.EDQUOT, StoreFull), (errno.EACCES, StoreError)],
)
def test_error_of_the_system_says_what_was_being_done(number: int, kind: type[StoreError]) -> None:
    with pytest.raises(StoreError) as caught, disk_errors("copy it"):
        raise OSError(number, os.strerror(number), "here")

    assert type(caught.value) is kind
    assert str(caught.value) == f"cannot copy it: {os.strerror(number)} (here)"
