"""Database files on disk: opened for reading only, shared with other readers, mapped into memory.

Law: nothing here creates or changes a file, and nothing waits longer than it was told to. A lock
keeps the file still: every bolt that opens a database for writing holds an exclusive one on it.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from conductor.errors import NotFound, StoreError, StoreLocked

LOCK_RETRY_S = 0.05
"""As in bolt."""

_NO_SUCH_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


class DatabaseFile:
    """An open file that holds a database. Close it."""

    __slots__ = ("_descriptor", "_is_locked", "_map", "path", "view")

    def __init__(self, path: Path) -> None:
        """Open the file, without ever waiting for anything.

        Raises NotFound when it is no regular file with something in it, StoreError when it is
        unreadable.
        """
        self.path = path
        self._map: mmap.mmap | None = None
        self._is_locked = False
        self.view = memoryview(b"")
        with _mapped_errors(path):
            # Without O_NONBLOCK the opening of a pipe would wait for a writer.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            status = os.fstat(self._descriptor)
        problem = _not_a_database(status)
        if problem:
            os.close(self._descriptor)
            raise NotFound(f"{path}: {problem}")

    def lock(self, timeout_s: float, *, pause: Callable[[float], object] | None = None) -> None:
        """Share it with readers until `close`; StoreLocked when a writer has it for too long."""
        wait = pause or threading.Event().wait
        deadline = time.monotonic() + timeout_s
        while not self._try_lock():
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                raise StoreLocked(
                    f"{self.path}: in use by another process, which is how a running op-conductor "
                    "holds it: stop that one and try again, or use `op-conductor-init backup`, "
                    "which copies the state of a running one, and look at the copy"
                )
            wait(min(LOCK_RETRY_S, remaining_s))

    def _try_lock(self) -> bool:
        with _mapped_errors(self.path):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        self._is_locked = True
        return True

    def read_at(self, offset: int, size: int) -> bytes:
        """Bytes of the file as they are now; fewer than asked for where it ends."""
        with _mapped_errors(self.path):
            return os.pread(self._descriptor, size, offset)

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """The same into a buffer; returns how many bytes there were."""
        with _mapped_errors(self.path):
            return os.preadv(self._descriptor, [buffer], offset)

    def bytes_now(self) -> int:
        """The size of the file at this moment."""
        with _mapped_errors(self.path):
            return os.fstat(self._descriptor).st_size

    def map(self, size: int) -> None:
        """Make the first bytes of the file, which must be there, readable as `view`.

        If somebody cuts the file off while it is mapped, touching what was cut kills this process
        (SIGBUS), and no check beforehand can prevent that. Nobody does: bolt never makes a file
        shorter, whoever writes with it is kept away by the lock, and the files of this package are
        replaced as a whole, which leaves the mapped ones as they are.
        """
        with _mapped_errors(self.path):
            self._map = mmap.mmap(self._descriptor, size, access=mmap.ACCESS_READ)
        self.view = memoryview(self._map)

    def close(self) -> None:
        """Let writers have the file. Views that are still held keep their memory, and only that."""
        self.view.release()
        if self._map is not None:
            # A view may still be in use somewhere. The map then keeps a duplicate of the descriptor
            # and with it the lock until the view goes: hence the explicit unlocking below.
            with suppress(BufferError):
                self._map.close()
            self._map = None
        if self._is_locked:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self._is_locked = False
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _not_a_database(status: os.stat_result) -> str:
    """Why this cannot be a database at all, or nothing."""
    if stat.S_ISDIR(status.st_mode):
        return "this is a directory, not a database file"
    if not stat.S_ISREG(status.st_mode):
        return "this is not a regular file"
    if status.st_size == 0:
        return "the file is empty: no database was ever written to it"
    return ""


@contextmanager
def _mapped_errors(path: Path) -> Iterator[None]:
    """What the operating system says, as errors of this project."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SUCH_FILE:
            raise NotFound(f"{path}: {error.strerror}") from error
        if error.errno == errno.ENXIO:
            raise NotFound(f"{path}: this is not a regular file") from error
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
