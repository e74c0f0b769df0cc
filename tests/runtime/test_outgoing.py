"""Messages on their way out: signed, complete, and in order for each member."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from conductor.core.certificate import Acknowledgement
from conductor.core.effects import AppendEntries, RaisePromise, Send, Write
from conductor.core.messages import Acknowledged, Append, HandOver, HandOverOrder, Heard
from conductor.core.values import (
    BlockReference,
    Digest,
    Entry,
    EntryKind,
    Epoch,
    Height,
    Index,
    Position,
    Promise,
    ServerId,
)
from conductor.identity import verify_signature
from conductor.runtime.bodies import BodyCache
from conductor.runtime.outgoing import Outgoing, signed
from tests.runtime.kit import (
    RecordingTransport,
    formed_store,
    genesis_of,
    hash_of,
    member_of,
    signer_of,
)

BODY = b"a body"
GENESIS = genesis_of(3)
ENTRY = Entry(
    index=Index(1),
    epoch=Epoch(1),
    kind=EntryKind.PAYLOAD,
    previous_digest=GENESIS.cluster_id,
    body_hash=hash_of(BODY),
    body_size=len(BODY),
    block=BlockReference(Height(1), bytes(32), bytes(32)),
)
START = Position(Index(0), Epoch(0), GENESIS.cluster_id)


def append_of(*entries: Entry) -> Append:
    return Append(Epoch(1), 1, START, entries, None, sequencer_ok=True)


class Bench:
    """An Outgoing over a store that holds one payload."""

    def __init__(self) -> None:
        self.store = formed_store(3)
        promise = RaisePromise(Promise(Epoch(1), member_of("a").key))
        write = Write(1, (promise, AppendEntries((ENTRY,))))
        self.store.apply([write], {ENTRY.body_hash: BODY})
        self.transport = RecordingTransport()
        self.cache = BodyCache()
        self.tasks: list[asyncio.Task[None]] = []
        self.outgoing = Outgoing(self.transport, self.store, self.cache, self.spawn)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    async def settle(self) -> None:
        await asyncio.gather(*self.tasks)


async def test_a_message_whose_bodies_are_at_hand_leaves_at_once() -> None:
    bench = Bench()
    bench.cache.add({ENTRY.body_hash: BODY})
    bench.outgoing.send(Send(ServerId("b"), append_of(ENTRY)))
    assert bench.transport.sent == [("b", append_of(ENTRY), {ENTRY.body_hash: BODY}, 0)]


async def test_a_body_that_is_not_at_hand_is_read_from_the_store() -> None:
    bench = Bench()
    bench.outgoing.send(Send(ServerId("b"), append_of(ENTRY), reply_to=7))
    assert bench.transport.sent == []
    await bench.settle()
    assert bench.transport.sent == [("b", append_of(ENTRY), {ENTRY.body_hash: BODY}, 7)]


async def test_what_follows_a_message_that_waits_for_the_store_stays_behind_it() -> None:
    bench = Bench()
    heard = Heard(Epoch(1), 2)
    bench.outgoing.send(Send(ServerId("b"), append_of(ENTRY)))
    bench.outgoing.send(Send(ServerId("b"), heard))
    bench.outgoing.send(Send(ServerId("c"), heard))
    assert bench.transport.to("c") == [heard]
    await bench.settle()
    assert bench.transport.to("b") == [append_of(ENTRY), heard]


async def test_a_message_whose_body_was_pruned_meanwhile_is_dropped() -> None:
    bench = Bench()
    gone = Entry(
        index=Index(2),
        epoch=Epoch(1),
        kind=EntryKind.PAYLOAD,
        previous_digest=ENTRY.digest,
        body_hash=hash_of(b"pruned"),
        body_size=6,
        block=BlockReference(Height(2), bytes(32), bytes(32)),
    )
    bench.outgoing.send(Send(ServerId("b"), append_of(ENTRY, gone)))
    bench.outgoing.send(Send(ServerId("b"), Heard(Epoch(1), 2)))
    await bench.settle()
    assert bench.transport.to("b") == [Heard(Epoch(1), 2)]


def test_acknowledgements_and_orders_are_signed_by_this_node() -> None:
    a, b = member_of("a"), member_of("b")
    cluster_id = GENESIS.cluster_id
    plain = Acknowledged(1, Acknowledgement(a.key, Epoch(1), Index(1), Digest(bytes(32))))
    acknowledged = signed(plain, signer_of("a"), cluster_id)
    assert isinstance(acknowledged, Acknowledged)
    acknowledged.acknowledgement.check(cluster_id, GENESIS.membership, verify_signature)

    order = HandOverOrder(cluster_id, Epoch(1), a.key, b.key)
    hand_over = signed(HandOver(order, "test"), signer_of("a"), cluster_id)
    assert isinstance(hand_over, HandOver)
    assert verify_signature(a.public_key, order.message(), hand_over.order.signature)
    assert signed(Heard(Epoch(1), 1), signer_of("a"), cluster_id) == Heard(Epoch(1), 1)
