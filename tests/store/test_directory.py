"""The data directory: made for its owner alone, used by one process, never another server's."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conductor.errors import StoreDamaged, StoreError, StoreLocked, StoreMismatch
from conductor.store import has_store, open_store
from conductor.store.directory import lock_directory
from tests.store.builders import form

NOBODY = 65534


def mode(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of the superuser, whom no permission stops."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def owned_path() -> Iterator[Path]:
    """A directory of the user of `as_nobody`, in a place that this user can reach."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)
        yield path
        path.chmod(0o700)


def test_new_store_is_for_its_owner_alone(quick_path: Path) -> None:
    path = quick_path / "deep" / "data"
    umask = os.umask(0)
    try:
        store = open_store(path, "a")
        form(store)
    finally:
        os.umask(umask)

    assert mode(path) == 0o700
    assert {file.name for file in path.iterdir()} >= {"store.db", "store.db-wal", "lock", "mark"}
    assert {mode(file) for file in path.iterdir()} == {0o600}
    store.close()


def test_every_new_store_has_an_incarnation_of_its_own(quick_path: Path) -> None:
    incarnations = []
    for name in ("one", "two", "one"):
        store = open_store(quick_path / name, "a")
        incarnations.append(store.load().incarnation)
        store.close()

    assert incarnations[0] == incarnations[2] != incarnations[1]
    assert all(len(incarnation) == 32 for incarnation in incarnations)
    assert int(incarnations[0], 16)


def test_store_of_another_server_is_refused(quick_path: Path) -> None:
    open_store(quick_path / "data", "a").close()

    with pytest.raises(StoreMismatch, match="--server-id a, or give b another --data-dir"):
        open_store(quick_path / "data", "b")

    open_store(quick_path / "data", "a").close()


def test_directory_in_use_is_refused_with_the_process_that_uses_it(quick_path: Path) -> None:
    """Until that process has ended, however it ended."""
    script = (
        "import sys; from pathlib import Path; from conductor.store import open_store\n"
        "store = open_store(Path(sys.argv[1]), 'a'); print('open', flush=True); sys.stdin.read()"
    )
    program = [sys.executable, "-c", script, str(quick_path / "data")]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"

        with pytest.raises(StoreLocked, match=f"process id {holder.pid}: stop that one"):
            open_store(quick_path / "data", "a")
        holder.kill()

    open_store(quick_path / "data", "a").close()


def test_directory_is_free_after_a_refusal(quick_path: Path) -> None:
    path = quick_path / "data"
    open_store(path, "a").close()
    (path / "store.db").write_bytes(b"")
    with pytest.raises(StoreDamaged):
        open_store(path, "a")

    lock_directory(path).close()


def test_lock_names_no_process_when_it_cannot(quick_path: Path) -> None:
    directory = lock_directory(quick_path)
    (quick_path / "lock").write_bytes(b"")

    with pytest.raises(StoreLocked, match="another process: stop"):
        lock_directory(quick_path)
    directory.close()


def test_files_of_others_in_the_directory_stay(quick_path: Path) -> None:
    (quick_path / "identity.pem").write_text("not ours")

    open_store(quick_path, "a").close()

    assert (quick_path / "identity.pem").read_text() == "not ours"


@pytest.mark.parametrize("leftover", [b"", b"SQLite format 3\x00", bytes(100_000)])
def test_store_that_was_never_finished_is_made_anew(quick_path: Path, leftover: bytes) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        (quick_path / f"store.db.new{suffix}").write_bytes(leftover)

    store = open_store(quick_path, "a")

    assert store.load().genesis is None
    assert not list(quick_path.glob("*.new*"))
    store.close()


def test_file_in_the_place_of_the_directory_is_a_store_error(quick_path: Path) -> None:
    path = quick_path / "data"
    path.write_text("a file")

    for place in (path, path / "below"):
        with pytest.raises(StoreError, match="cannot use the data directory"):
            open_store(place, "a")


@pytest.mark.parametrize("permissions", [0o000, 0o500])
def test_directory_without_permission_is_a_store_error(owned_path: Path, permissions: int) -> None:
    owned_path.chmod(permissions)

    with as_nobody(), pytest.raises(StoreError, match="Permission denied"):
        open_store(owned_path, "a")


def test_store_that_nobody_may_look_for_is_a_store_error(owned_path: Path) -> None:
    with as_nobody():
        assert not has_store(owned_path)
        open_store(owned_path, "a").close()
        assert has_store(owned_path)
        owned_path.chmod(0o000)

        with pytest.raises(StoreError, match="cannot use the data directory"):
            has_store(owned_path)


@pytest.mark.parametrize("permissions", [0o000, 0o400])
@pytest.mark.parametrize("name", ["store.db", "lock", "mark"])
def test_file_without_permission_is_a_store_error(
    owned_path: Path, name: str, permissions: int
) -> None:
    with as_nobody():
        open_store(owned_path, "a").close()
        (owned_path / name).chmod(permissions)

        with pytest.raises(StoreError, match="cannot") as found:
            open_store(owned_path, "a")

    assert type(found.value) is StoreError
