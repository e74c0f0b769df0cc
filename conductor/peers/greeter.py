"""Greets the other nodes, each at its own pace, and reports what they say of themselves.

Before the cluster has formed these are the addresses of the configuration, of which nobody knows
yet who answers there; afterwards the members. A node that does not answer delays no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

import grpc

from conductor.config import Timing
from conductor.core.greeting import Greeting
from conductor.peers.calls import SERVICE
from conductor.peers.channels import Channels
from conductor.peers.codec import decode_greet_answer, encode_greet_request
from conductor.peers.decoding import decoded, remembering
from conductor.peers.error_map import ANSWERABLE, peer_errors
from conductor.peers.members import Members
from conductor.peers.tasks import OwnedTasks

GREET_PATH = f"/{SERVICE}/Greet"
FORMING_INTERVAL_S = 0.2
"""Forming takes some rounds, and nothing else can happen before: these come quickly."""
SETTLED_INTERVALS = 5
"""Between two greetings to a member that has answered: who it is does not change while it runs, and
every stream opens with the same check."""


class Greeter:
    """Reports every answer to `on_greeting` and every silence to `on_unreachable`, by address."""

    def __init__(
        self,
        channels: Channels,
        members: Members,
        on_greeting: Callable[[str, Greeting], None],
        on_unreachable: Callable[[str, str], None],
        timing: Timing,
    ) -> None:
        self._channels = channels
        self._members = members
        self._on_greeting = on_greeting
        self._on_unreachable = on_unreachable
        self._interval_s = timing.health_interval_ms / 1000
        self._forming_interval_s = min(self._interval_s, FORMING_INTERVAL_S)
        self._deadline_s = timing.probe_deadline_ms / 1000
        self._decode = remembering(decode_greet_answer)
        self._tasks = OwnedTasks()
        self._greeted: dict[str, asyncio.Task[None]] = {}

    def greet(self, addresses: Collection[str]) -> None:
        """From now on greet exactly these."""
        for address in [address for address in self._greeted if address not in addresses]:
            self._greeted.pop(address).cancel()
        for address in addresses:
            if address not in self._greeted:
                self._greeted[address] = self._tasks.start(
                    self._keep_greeting(address), f"greet {address}"
                )

    async def stop(self) -> None:
        """Greet no more."""
        await self._tasks.stop()

    async def _keep_greeting(self, address: str) -> None:
        while True:
            intervals = SETTLED_INTERVALS
            try:
                self._on_greeting(address, await self._greet(address))
            except ANSWERABLE as error:
                self._on_unreachable(address, str(error))
                intervals = 1
            is_formed = self._members.is_formed
            pause_s = intervals * self._interval_s if is_formed else self._forming_interval_s
            await asyncio.sleep(pause_s)

    async def _greet(self, address: str) -> Greeting:
        channel = self._channels.replication(address)
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(GREET_PATH)
        with peer_errors():
            request = encode_greet_request(self._members.greeting)
            answer = await method(request, timeout=self._deadline_s)
        return await decoded(self._decode, answer)
