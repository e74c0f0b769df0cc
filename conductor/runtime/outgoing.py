"""Messages on their way out: signed, and with the bodies of their entries beside them.

Invariant: what goes to one member goes in the order in which the core said it, also when a body has
to be read from the store first.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from conductor.core.effects import Send
from conductor.core.messages import (
    Acknowledged,
    Append,
    FetchAnswer,
    HandOver,
    InstallBase,
    Message,
)
from conductor.core.values import Digest, Entry, EntryKind, ServerId
from conductor.errors import NotFound
from conductor.ports import Bodies, PeerTransport, Signer, Store
from conductor.runtime.bodies import BodyCache


def signed(message: Message, signer: Signer, cluster_id: Digest) -> Message:
    """The message with this node's signature, if it is of a kind that carries one."""
    if isinstance(message, Acknowledged):
        acknowledgement = message.acknowledgement
        signature = signer.sign(acknowledgement.message(cluster_id))
        acknowledgement = dataclasses.replace(acknowledgement, signature=signature)
        return dataclasses.replace(message, acknowledgement=acknowledgement)
    if isinstance(message, HandOver):
        signature = signer.sign(message.order.message())
        return dataclasses.replace(
            message, order=dataclasses.replace(message.order, signature=signature)
        )
    return message


def payloads_in(message: Message) -> tuple[Entry, ...]:
    """The payload entries that a message carries."""
    if isinstance(message, Append | FetchAnswer | InstallBase):
        return tuple(entry for entry in message.entries if entry.kind is EntryKind.PAYLOAD)
    return ()


@dataclass(frozen=True, slots=True)
class _Waiting:
    send: Send
    payloads: tuple[Entry, ...]


class Outgoing:
    """Hands messages to the transport, one queue a member."""

    def __init__(
        self,
        transport: PeerTransport,
        store: Store,
        cache: BodyCache,
        spawn: Callable[[Coroutine[Any, Any, None], str], None],
    ) -> None:
        self._transport = transport
        self._store = store
        self._cache = cache
        self._spawn = spawn
        self._queues: dict[ServerId, deque[_Waiting]] = {}

    def send(self, send: Send) -> None:
        """Send now if every body is at hand, else as soon as they are read."""
        payloads = payloads_in(send.message)
        queue = self._queues.get(send.to)
        bodies = self._cached(payloads) if queue is None else None
        if bodies is not None:
            self._transport.send(send.to, send.message, bodies, send.reply_to)
            return
        waiting = _Waiting(send, payloads)
        if queue is not None:
            queue.append(waiting)
        else:
            self._queues[send.to] = deque([waiting])
            self._spawn(self._drain(send.to), f"outgoing {send.to}")

    def _cached(self, payloads: tuple[Entry, ...]) -> Bodies | None:
        bodies = {}
        for entry in payloads:
            body = self._cache.get(entry.body_hash)
            if body is None:
                return None
            bodies[entry.body_hash] = body
        return bodies

    async def _drain(self, to: ServerId) -> None:
        queue = self._queues[to]
        try:
            while queue:
                waiting = queue.popleft()
                bodies = await asyncio.to_thread(self._read, waiting.payloads)
                if bodies is not None:
                    send = waiting.send
                    self._transport.send(to, send.message, bodies, send.reply_to)
        finally:
            del self._queues[to]

    def _read(self, payloads: tuple[Entry, ...]) -> Bodies | None:
        """The bodies, from memory or disk; None when one was pruned meanwhile."""
        bodies = {}
        for entry in payloads:
            body = self._cache.get(entry.body_hash)
            try:
                bodies[entry.body_hash] = body or self._store.read_body(entry.index)
            except NotFound:
                return None
        return bodies
