"""A note beside the database of how many transactions are known to be durable.

SQLite takes a damaged page in its write-ahead log for a torn write and drops it with everything
after it, without a word: certified entries would be gone. The mark tells the two apart.

Invariant: it never names a transaction whose commit has not returned. It is written without a sync
of its own, so after a power loss it may name an older one: then it proves less, never something
wrong.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from conductor.core.encoding import sha256
from conductor.errors import StoreFull
from conductor.store.error_map import mapped_errors

_LAYOUT = struct.Struct(">Q8s")


def _encode(transactions: int) -> bytes:
    number = struct.pack(">Q", transactions)
    return _LAYOUT.pack(transactions, sha256(b"op-conductor/store-mark/v1" + number)[:8])


class Mark:
    """The file with the note; it is made when it is not there."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def read(self) -> int:
        """The transactions that were durable; 0 when the note cannot be read."""
        data = os.pread(self._file, _LAYOUT.size, 0)
        if len(data) < _LAYOUT.size:
            return 0
        transactions: int = _LAYOUT.unpack(data)[0]
        return transactions if data == _encode(transactions) else 0

    def write(self, transactions: int) -> None:
        """Note that so many transactions are durable. A full disk leaves the older note."""
        try:
            with mapped_errors("cannot write the mark of the store"):
                os.pwrite(self._file, _encode(transactions), 0)
        except StoreFull:
            pass

    def close(self) -> None:
        """Release the file."""
        os.close(self._file)
