"""A timed store is the store, and tells of each write that was made durable."""

from __future__ import annotations

import pytest

from conductor.core.effects import Touch, Write
from conductor.errors import NotFound, StoreFull
from conductor.metrics import TimedStore
from tests.runtime.kit import formed_store, genesis_of, index_of


def test_each_write_that_became_durable_is_told() -> None:
    durations: list[float] = []
    store = TimedStore(formed_store(1), durations.append)
    store.load()

    store.apply([Write(1, (Touch(),)), Write(2, (Touch(),))], {})

    assert len(durations) == 1
    assert 0 <= durations[0] < 60


def test_write_that_failed_is_not_told() -> None:
    durations: list[float] = []
    inner = formed_store(1)
    inner.failures.append(StoreFull("no space"))
    store = TimedStore(inner, durations.append)
    store.load()

    with pytest.raises(StoreFull):
        store.apply([Write(1, (Touch(),))], {})

    assert durations == []


def test_everything_else_is_as_it_was() -> None:
    inner = formed_store(1)
    store = TimedStore(inner, lambda _: None)

    assert store.load() == inner.load()
    store.set_genesis(genesis_of(1))
    with pytest.raises(NotFound):
        store.read_body(index_of(1))
    with pytest.raises(NotFound):
        store.read_head()
    store.close()
