"""A database that is open for reading.

Invariant: `pages` covers what the active meta page says the database has, and the file is at least
that long; so whatever a page refers to is either refused or there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from raft_state.bolt.bucket import Bucket
from raft_state.bolt.damage import Damage
from raft_state.bolt.file import DatabaseFile
from raft_state.bolt.layout import Meta
from raft_state.bolt.metas import active_meta
from raft_state.bolt.pages import Pages, shown


class Database:
    """The state that the last complete transaction left.

    To be used as a context manager, or closed.
    """

    __slots__ = ("_file", "file_bytes", "meta", "meta_page", "pages", "path", "warnings")

    def __init__(self, file: DatabaseFile) -> None:
        """Takes the file over: it is closed with the database. Raises DatabaseDamaged."""
        active = active_meta(file.path, file.read_at, file.bytes_now)
        file.map(active.meta.page_count * active.meta.page_bytes)
        self._file = file
        self.path = file.path
        self.file_bytes = file.bytes_now()
        self.meta: Meta = active.meta
        self.meta_page = active.page
        self.warnings: tuple[Damage, ...] = active.warnings
        self.pages = Pages(file.path, file.view, active.meta.page_bytes, active.meta.page_count)

    @property
    def page_bytes(self) -> int:
        """The length of a page."""
        return self.meta.page_bytes

    @property
    def root(self) -> Bucket:
        """The nameless bucket that holds all others. Raises DatabaseDamaged."""
        number = self.pages.referred(self.meta.root_page, self.meta_page, "the root page")
        return Bucket(self.meta.root_sequence, number, self.pages, self.pages.tree_page(number))

    def buckets(self) -> Iterator[tuple[bytes, Bucket]]:
        """The buckets with their names, in the order of these. Raises DatabaseDamaged."""
        root = self.root
        for key, _ in root.items():
            raise self.pages.damaged(
                root.root_page, f"at the top there are only buckets, but {shown(key)} is a value"
            )
        yield from root.buckets()

    def bucket(self, name: bytes) -> Bucket | None:
        """The bucket of this name, or None. Raises DatabaseDamaged, also for a plain value."""
        return self.root.bucket(name)

    def close(self) -> None:
        """Give the file back; nothing of the database may be used afterwards."""
        self._file.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_database(path: Path, *, lock_timeout_s: float = 0.0, lock: bool = True) -> Database:
    """Open a database file, read-only and without ever creating one; symbolic links are followed.

    Raises NotFound when there is no regular file with something in it; StoreLocked when a process
    that writes has it for longer than `lock_timeout_s` (with `lock=False` nothing is locked: only
    for a file that nobody writes to); StoreError when it cannot be read; DatabaseDamaged when it is
    no database, or shorter than it says.
    """
    with ExitStack() as undo:
        file = DatabaseFile(path)
        undo.callback(file.close)
        if lock:
            file.lock(lock_timeout_s)
        database = Database(file)
        undo.pop_all()
    return database
