"""The store in memory passes the suite; a restart leaves it as it is."""

from __future__ import annotations

import pytest

from conductor.core.effects import AppendEntries, Truncate
from conductor.core.founding import Founding
from conductor.core.values import Index
from conductor.ports import Store
from conductor.store.memory import MemoryStore
from tests.conformance.store import Disk, StoreConformance
from tests.store.builders import Chain, a_key, apply, form


class _MemoryDisk:
    def __init__(self) -> None:
        self._store: MemoryStore | None = None

    def boot(self, founding: Founding | None = None, head: bytes = b"") -> Store:
        if self._store is None:
            self._store = MemoryStore(a_key("a"), founding, head)
        self._store.close()
        return self._store


class TestMemoryStore(StoreConformance):
    """The whole suite."""

    @pytest.fixture
    def disk(self) -> Disk:
        """A store that stays."""
        return _MemoryDisk()


def test_bodies_that_are_gone_take_no_room() -> None:
    store = MemoryStore(a_key("a"))
    form(store)
    chain = Chain()
    apply(store, AppendEntries(chain.payloads(50)), bodies=chain.bodies)

    apply(store, Truncate(Index(3)))

    assert len(store._bodies) == 3
