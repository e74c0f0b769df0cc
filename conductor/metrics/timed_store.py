"""A store whose writes are timed.

Invariant: the store does what it did; one that fails is not counted, for it took no write.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from conductor.core.effects import Write
from conductor.core.values import Genesis, Index
from conductor.ports import Bodies, Store, StoredState


class TimedStore:
    """Implements `ports.Store` over another one."""

    def __init__(self, store: Store, on_write: Callable[[float], None]) -> None:
        """`on_write` hears, on the writer's thread, how many seconds each transaction took."""
        self._store = store
        self._on_write = on_write

    def load(self) -> StoredState:
        """Everything but the bodies."""
        return self._store.load()

    def set_genesis(self, genesis: Genesis) -> None:
        """Store the genesis and its base, durably."""
        self._store.set_genesis(genesis)

    def apply(self, writes: Sequence[Write], bodies: Bodies) -> None:
        """Perform the writes in one transaction, durable on return."""
        began_s = time.perf_counter()
        self._store.apply(writes, bodies)
        self._on_write(time.perf_counter() - began_s)

    def read_body(self, index: Index) -> bytes:
        """The body of the entry there."""
        return self._store.read_body(index)

    def read_head(self) -> bytes:
        """The payload that came with the founding."""
        return self._store.read_head()

    def close(self) -> None:
        """Release the files."""
        self._store.close()
