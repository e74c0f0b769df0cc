"""Copies, hashes and removes files so that they are durable, or not there at all.

Invariant: nothing here writes over what exists; every new file is made exclusively.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from conductor.errors import StoreFull, StoreMismatch
from raft_state.exchange import disk_errors

CHUNK_BYTES = 1024 * 1024
PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700

STAMP = "%Y%m%d-%H%M%S"
"""Of a time in UTC, in names: they sort as they were made, whatever the zone and the season."""

Progress = Callable[[int, int], None]
"""Called with the bytes that are done and the total."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds, as far as a comparison needs it."""

    size_bytes: int
    sha256: str


class Meter:
    """Adds up what several steps have done, for one progress callback."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._done = 0
        self._total = total

    def advance(self, size_bytes: int) -> None:
        """So much more is done; more than was expected makes the total grow."""
        self._done += size_bytes
        self._total = max(self._total, self._done)
        if self._progress is not None:
            self._progress(self._done, self._total)

    def part(self, size_bytes: int) -> Progress:
        """A progress of its own, in any unit, that counts for so many bytes here."""
        counted = 0

        def report(done: int, total: int) -> None:
            nonlocal counted
            reached = size_bytes * done // total if total else 0
            self.advance(max(0, reached - counted))
            counted = max(counted, reached)

        return report


def copy_file(source: Path, target: Path, meter: Meter, *, follow: bool = False) -> Content:
    """Copy into a new private file and make it durable. FileExistsError, other OSError.

    `follow`: whether the source may be a symbolic link. StoreMismatch: it is no plain file.
    """
    digest = hashlib.sha256()
    size = 0
    made = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with os.fdopen(made, "wb") as copy:
        for chunk in _chunks(source, follow=follow):
            copy.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            meter.advance(len(chunk))
        copy.flush()
        os.fsync(copy.fileno())
    return Content(size, digest.hexdigest())


def content_of(path: Path, meter: Meter) -> Content:
    """Read a plain file again, from the disk where the system can be asked to. OSError."""
    digest = hashlib.sha256()
    size = 0
    for chunk in _chunks(path, follow=False, uncached=True):
        digest.update(chunk)
        size += len(chunk)
        meter.advance(len(chunk))
    return Content(size, digest.hexdigest())


def write_file(path: Path, data: bytes) -> None:
    """Write a new private file and make it durable. FileExistsError, other OSError."""
    made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with os.fdopen(made, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def remove_tree(directory: Path) -> None:
    """Remove a directory that this process made. What cannot be removed stays: it is unused."""
    shutil.rmtree(directory, ignore_errors=True)


def require_space(directory: Path, size_bytes: int, doing: str) -> None:
    """StoreFull unless so much is free where the directory is."""
    with disk_errors(doing):
        free = shutil.disk_usage(directory).free
    if free < size_bytes:
        raise StoreFull(f"cannot {doing}: {size_bytes} bytes needed, {free} free in {directory}")


def _chunks(path: Path, *, follow: bool, uncached: bool = False) -> Iterator[bytes]:
    """The content of a plain file. Neither a pipe nor a device is waited for."""
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    with os.fdopen(os.open(path, flags), "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise StoreMismatch(f"{path}: not a plain file")
        if uncached and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
