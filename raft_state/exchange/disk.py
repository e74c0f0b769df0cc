"""Makes directories durably, and gives the system's errors a sentence.

Invariant: an error of the system leaves as `StoreError`, with what was being done; and directories
that could not all be made are gone again.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from conductor.errors import StoreError, StoreFull
from raft_state.bolt.new_file import sync_directory

__all__ = ["disk_errors", "make_directories", "remove_directories", "sync_directory"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Turn what the system refuses into StoreError or StoreFull: `cannot <doing>: <why>`."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        where = f" ({error.filename})" if error.filename else ""
        kind = StoreFull if error.errno in _FULL else StoreError
        raise kind(f"cannot {doing}: {why}{where}") from error


def make_directories(directory: Path, mode: int = 0o777) -> list[Path]:
    """Make a directory and what is missing above it; the ones made, deepest first. OSError."""
    missing = []
    while not directory.exists():
        missing.append(directory)
        directory = directory.parent
    with ExitStack() as undo:
        for path in reversed(missing):
            path.mkdir(mode)
            undo.callback(remove_directories, [path])
            sync_directory(path.parent)
        undo.pop_all()
    return missing


def remove_directories(made: Iterable[Path]) -> None:
    """Take back what `make_directories` made; whatever is used meanwhile stays."""
    for path in made:
        try:
            path.rmdir()
        except OSError:
            return
