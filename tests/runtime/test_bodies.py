"""Bodies on their way: there while a write needs them, gone when room is short."""

from __future__ import annotations

import pytest

from conductor.core.effects import AppendEntries, Touch, Write
from conductor.core.values import BlockReference, Digest, Entry, EntryKind, Epoch, Height, Index
from conductor.errors import InvariantViolation
from conductor.runtime.bodies import BodyCache
from tests.runtime.kit import hash_of


def payload(body: bytes) -> Entry:
    return Entry(
        index=Index(1),
        epoch=Epoch(1),
        kind=EntryKind.PAYLOAD,
        previous_digest=Digest(bytes(32)),
        body_hash=hash_of(body),
        body_size=len(body),
        block=BlockReference(Height(1), bytes(32), bytes(32)),
    )


def write_of(*bodies: bytes) -> Write:
    return Write(1, (Touch(), AppendEntries(tuple(payload(body) for body in bodies))))


def cached(cache: BodyCache, *bodies: bytes) -> list[bool]:
    return [cache.get(hash_of(body)) is not None for body in bodies]


def test_oldest_bodies_go_first_when_room_is_short() -> None:
    cache = BodyCache(bytes_max=8)
    for body in (b"aaaa", b"bbbb", b"cccc"):
        cache.add({hash_of(body): body})
    cache.shrink()
    assert cached(cache, b"aaaa", b"bbbb", b"cccc") == [False, True, True]


def test_a_body_that_is_being_written_is_never_dropped() -> None:
    cache = BodyCache(bytes_max=4)
    cache.add({hash_of(b"aaaa"): b"aaaa"})
    pinned = cache.pin(write_of(b"aaaa"))
    cache.add({hash_of(b"bbbb"): b"bbbb"})
    cache.shrink()
    assert cached(cache, b"aaaa", b"bbbb") == [True, False]
    cache.add({hash_of(b"bbbb"): b"bbbb"})
    cache.unpin(pinned)
    assert cached(cache, b"aaaa", b"bbbb") == [False, True]


def test_a_body_pinned_twice_stays_until_both_writes_are_durable() -> None:
    cache = BodyCache(bytes_max=0)
    cache.add({hash_of(b"aaaa"): b"aaaa"})
    first, second = cache.pin(write_of(b"aaaa")), cache.pin(write_of(b"aaaa"))
    cache.unpin(first)
    assert cached(cache, b"aaaa") == [True]
    cache.unpin(second)
    assert cached(cache, b"aaaa") == [False]


def test_a_body_that_may_be_written_later_stays_until_it_is_given_up() -> None:
    cache = BodyCache(bytes_max=0)
    bodies = {hash_of(b"aaaa"): b"aaaa"}
    cache.add_pinned(bodies)
    cache.shrink()
    written = cache.pin(write_of(b"aaaa"))
    cache.unpin(bodies)
    assert cached(cache, b"aaaa") == [True]
    cache.unpin(written)
    assert cached(cache, b"aaaa") == [False]


def test_a_write_without_its_body_is_a_broken_invariant() -> None:
    with pytest.raises(InvariantViolation):
        BodyCache().pin(write_of(b"aaaa"))
