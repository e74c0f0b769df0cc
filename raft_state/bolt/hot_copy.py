"""A copy of a database that another process may be writing to, without its lock.

Law: a copy counts only if the same meta page was active before and after it was made. The
transaction after the active one writes only to pages that are free in it, so what was copied in
between is whole; from the second transaction on that is no longer so, and then nothing of the
attempt is believed.

Each further attempt writes only what differs from the one before, so it takes a fraction of the
time and finds a pause between two commits that the first one was too slow for.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from conductor.errors import StoreLocked
from raft_state.bolt import layout
from raft_state.bolt.damage import DatabaseDamaged
from raft_state.bolt.file import DatabaseFile
from raft_state.bolt.layout import Meta
from raft_state.bolt.metas import ActiveMeta, active_meta
from raft_state.bolt.new_file import new_file

ATTEMPTS = 20
CHUNK_BYTES = 1 << 20

Progress = Callable[[int, int], None]
"""Called with how many bytes of the present attempt are done, and how many it has to do."""


def copy_database(
    source: Path,
    target: Path,
    *,
    attempts: int = ATTEMPTS,
    progress: Progress | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> None:
    """Copy the state after the last complete transaction into a new file, mode 0600, durably.

    The source is neither locked nor changed, and may be written to meanwhile. The target appears
    complete or not at all, and has the free pages' old contents too. StoreLocked when each attempt
    was overtaken by commits; NotFound, StoreError and DatabaseDamaged as for opening; Refused when
    the target exists. The trees are not looked at: that is for `check_database` of the target.
    """
    with closing(DatabaseFile(source)) as file, new_file(target) as stream:
        copy = _Copy(file, stream.fileno(), progress or (lambda done, total: None), chunk_bytes)
        damaged: DatabaseDamaged | None = None
        for _ in range(attempts):
            try:
                if copy.attempt():
                    return
                damaged = None
            except DatabaseDamaged as error:
                # Of two meta pages that are read one after the other, a busy writer can have been
                # in the middle of either. If so, the next attempt does not find them so.
                damaged = error
        raise damaged or StoreLocked(
            f"{source}: a running process committed during each of {attempts} attempts to copy it: "
            "try again at a quieter time, or stop that process first"
        )


class _Copy:
    """The copying from one open file into another."""

    def __init__(
        self, file: DatabaseFile, target: int, progress: Progress, chunk_bytes: int
    ) -> None:
        self._file = file
        self._target = target
        self._progress = progress
        self._new = bytearray(chunk_bytes)
        self._old = bytearray(chunk_bytes)

    def attempt(self) -> bool:
        """Make the target equal to the source; whether that gave a state that was committed."""
        before = self._active_meta()
        size = before.meta.page_count * before.meta.page_bytes
        complete = self._take_over(size)
        if self._active_meta().meta != before.meta or not complete:
            return False
        os.ftruncate(self._target, max(size, layout.FILE_BYTES_MIN))
        self._write_metas(before.meta)
        return True

    def _active_meta(self) -> ActiveMeta:
        return active_meta(self._file.path, self._file.read_at, self._file.bytes_now)

    def _take_over(self, size: int) -> bool:
        """Copy what differs in the first bytes of the files; whether the source had that many."""
        new, old = memoryview(self._new), memoryview(self._old)
        for offset in range(0, size, len(new)):
            wanted = min(len(new), size - offset)
            if self._file.read_into(offset, new[:wanted]) < wanted:
                return False
            known = os.preadv(self._target, [old[:wanted]], offset)
            # Byte arrays are compared in one go; views would be, too, but item by item.
            if known < wanted or self._new != self._old:
                _write_whole(self._target, new[:wanted], offset)
            self._progress(offset + wanted, size)
        return True

    def _write_metas(self, meta: Meta) -> None:
        """Both meta pages anew: the one that was not active may belong to a later transaction."""
        transaction = meta.transaction_id
        earlier = transaction - 1 if transaction else 1
        for transaction_id in (transaction, earlier):
            number = transaction_id % 2
            page = layout.PAGE_HEADER.pack(number, layout.META, 0, 0)
            page += replace(meta, transaction_id=transaction_id).pack()
            offset = number * meta.page_bytes
            _write_whole(self._target, memoryview(page.ljust(meta.page_bytes, b"\0")), offset)


def _write_whole(descriptor: int, data: memoryview, offset: int) -> None:
    """`pwrite` until everything is written."""
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written
