"""Files that appear whole: nobody ever sees a part of one, not even after a power failure.

Invariant: under its name there is the old file, or none, until the new one is complete and on the
disk. What goes wrong before leaves no file behind, and what is there is never replaced unasked.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from conductor.errors import Refused, StoreError, StoreFull

_BUFFER_BYTES = 1 << 20
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK)
"""What file systems without hard links answer."""


@contextmanager
def new_file(path: Path, *, replace: bool = False) -> Iterator[BinaryIO]:
    """A seekable file to fill, mode 0600; it becomes `path` when the block ends without an error.

    Refused when `path` exists and `replace` is not set; StoreFull and StoreError for what the
    system refuses, also of what the block itself reads or writes.
    """
    try:
        _refuse_existing(path, replace)
        descriptor, name = tempfile.mkstemp(prefix=".new-", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb", buffering=_BUFFER_BYTES) as stream:
                yield stream
                stream.flush()
                os.fsync(descriptor)
            _publish(name, path, replace)
        finally:
            Path(name).unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise _store_error(path, error) from error


def sync_directory(directory: Path) -> None:
    """Make durable which names a directory holds."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _publish(name: str, path: Path, replace: bool) -> None:
    if replace:
        Path(name).replace(path)
        return
    try:
        # Unlike a rename, a link never replaces what appeared meanwhile.
        path.hardlink_to(name)
    except FileExistsError:
        _refuse_existing(path, replace)
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _refuse_existing(path, replace)
        Path(name).rename(path)


def _refuse_existing(path: Path, replace: bool) -> None:
    if not replace and os.path.lexists(path):
        raise Refused(f"{path} exists already and is left as it is")


def _store_error(path: Path, error: OSError) -> StoreError:
    kind = StoreFull if error.errno in _NO_SPACE else StoreError
    return kind(f"cannot write {path}: {error.strerror or error}")
