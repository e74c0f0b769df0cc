"""Gives a gRPC port malformed requests, broken streams and broken HTTP/2."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc

from conductor.config import Address
from conductor.core.values import Digest, Incarnation, MemberKey, ServerId
from conductor.peers import codec
from conductor.peers.wire_values import Speaker
from conductor.v1 import conductor_pb2
from tests.malformed import peer_targets
from tests.malformed.api_targets import BAD_STATUSES, REQUESTS, spoiled_request
from tests.malformed.byte_mutation import chance_of, noise
from tests.malformed.http2_inputs import PREFACE, http2_talk
from tests.malformed.http_client import CONNECTIONS
from tests.malformed.protobuf_mutation import spoiled_message
from tests.malformed.talk import ANSWER_S, PATIENCE_S, Ending, Talk, connected, reset, send
from tests.malformed.tally import Tally, Unexpected
from tests.peers.samples import SPEAKER

MIB = 2**20
CHANNELS = 6
STREAM_S = 0.2
"""How long a stream that was opened is looked at before it is abandoned."""

STATUS = "/conductor.v1.ConductorService/GetStatus"
STOP = "/conductor.v1.AdminService/Stop"
APPEND = "/conductor.v1.ReplicationService/Append"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
HEALTH = ("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch")
WATCHES = ("/conductor.v1.ConductorService/WatchEpochs", HEALTH[1])

_PEER_REQUESTS: Mapping[str, Sequence[bytes]] = {
    f"/conductor.v1.ReplicationService/{name}": requests
    for name, requests in peer_targets.requests().items()
}
_WRITTEN_TOO_LATE = "Internal error from Core"
"""What the client's own library calls it when the server has ended a stream that is written to."""
_NO_MESSAGE = b"\x00\x00"
"""No field has the number 0: no RPC takes it."""


class GrpcClient:
    """Feeds one gRPC port."""

    def __init__(
        self, address: Address, tally: Tally, on_input: Callable[[], None], *, seed: str
    ) -> None:
        self._address = address
        self._tally = tally
        self._on_input = on_input
        self._seed = seed
        self._channels: list[grpc.aio.Channel] = []
        self._speakers: list[Speaker] = []

    async def feed(self, count: int) -> None:
        """Send so many inputs, many at a time."""
        waiting = iter(range(count))

        async def work() -> None:
            for number in waiting:
                await self._send(number)

        async with self._connected(), asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(work())

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[None]:
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1))
        self._channels = [
            grpc.aio.insecure_channel(str(self._address), options) for _ in range(CHANNELS)
        ]
        try:
            self._speakers = await self._members()
            yield
        finally:
            for channel in self._channels:
                await channel.close()

    async def _members(self) -> list[Speaker]:
        """The members, as anyone may ask: an impostor would speak in their names."""
        call: Any = self._channels[0].unary_unary(STATUS)
        status = conductor_pb2.GetStatusResponse.FromString(await call(b"", timeout=ANSWER_S))
        return [
            Speaker(
                MemberKey(ServerId(view.member.server_id), Incarnation(view.member.incarnation)),
                Digest(status.cluster_id),
            )
            for view in status.members
        ]

    async def _send(self, number: int) -> None:
        chance = chance_of(self._seed, "grpc", number)
        kinds = (self._request, self._peer_request, self._stream, self._other, self._raw)
        (kind,) = chance.choices(kinds, (35, 20, 12, 8, 25))
        with Unexpected(self._tally, number, kind.__name__.encode()):
            self._tally.outcomes[await kind(chance)] += 1
        self._on_input()

    # Calls

    async def _request(self, chance: random.Random) -> str:
        """A request of an RPC for clients."""
        method = chance.choice(sorted(REQUESTS))
        data = spoiled_request(chance, method)
        if method in WATCHES:
            return await self._watch(chance, method, data)
        return await self._called(chance, method, _NO_MESSAGE if method == STOP else data)

    async def _peer_request(self, chance: random.Random) -> str:
        """A request of an RPC for members, from a stranger."""
        method = chance.choice(sorted(_PEER_REQUESTS))
        data = spoiled_message(chance, chance.choice(_PEER_REQUESTS[method]))
        if method == APPEND:
            return await self._converse(chance, [data])
        return await self._called(chance, method, data)

    async def _other(self, chance: random.Random) -> str:
        """Unknown methods, library services, odd metadata, deadlines, compression and size."""
        method = chance.choice(("/a/b", "/", "/conductor.v1.ConductorService/", HEALTH[0]))
        way = chance.randrange(8)
        if way < 3:
            return await self._called(chance, method, noise(chance))
        if way == 3:
            return await self._converse(chance, [noise(chance)], REFLECTION)
        if way == 4:
            return await self._called(chance, STATUS, b"", timeout_s=chance.choice((0.0, 0.0005)))
        if way == 5:
            metadata = (("x", "y" * chance.choice((10, 7000, 30_000))), ("z-bin", noise(chance)))
            return await self._called(chance, STATUS, b"", metadata=metadata)
        if way == 6:
            data = bytes(chance.choice((100, 70_000, MIB)))
            return await self._called(
                chance, chance.choice((STATUS, method)), data, compression=grpc.Compression.Gzip
            )
        size = chance.choice((0, 65_537, MIB)) if chance.random() < 0.99 else 18 * MIB
        return await self._called(chance, "/conductor.v1.ConductorService/Commit", bytes(size))

    async def _called(
        self,
        chance: random.Random,
        method: str,
        data: bytes,
        *,
        timeout_s: float = ANSWER_S,
        metadata: Sequence[tuple[str, str | bytes]] = (),
        compression: grpc.Compression | None = None,
    ) -> str:
        channel: Any = chance.choice(self._channels)
        call = channel.unary_unary(method)(
            data, timeout=timeout_s, metadata=metadata, compression=compression
        )
        if chance.random() < 0.03:
            call.cancel()
        return await _status(call)

    # Streams

    async def _stream(self, chance: random.Random) -> str:
        """A stream that is opened, used badly and abandoned."""
        way = chance.randrange(4)
        if way == 0:
            return await self._watch(chance, chance.choice(WATCHES), b"")
        if way == 1:
            return await self._converse(chance, [])
        speaker = chance.choice(self._speakers) if self._speakers else SPEAKER
        opening = codec.encode_stream_opening(speaker)
        appends = _PEER_REQUESTS[APPEND][1:]
        spoiled = [spoiled_message(chance, chance.choice(appends)) for _ in range(3)]
        # From a member's name only what is no message: the network is trusted with the rest.
        return await self._converse(chance, [opening, *(b"\x00" + data for data in spoiled)])

    async def _watch(self, chance: random.Random, method: str, data: bytes) -> str:
        channel: Any = chance.choice(self._channels)
        call = channel.unary_stream(method)(data, timeout=ANSWER_S)
        with contextlib.suppress(TimeoutError, grpc.aio.AioRpcError):
            async with asyncio.timeout(STREAM_S):
                while await call.read() is not grpc.aio.EOF:
                    pass
        if not call.done():
            call.cancel()
            return "abandoned"
        return await _status(call)

    async def _converse(
        self, chance: random.Random, messages: Sequence[bytes], method: str = APPEND
    ) -> str:
        channel: Any = chance.choice(self._channels)
        call = channel.stream_stream(method)(timeout=ANSWER_S)
        with contextlib.suppress(
            TimeoutError, grpc.aio.AioRpcError, asyncio.InvalidStateError, asyncio.CancelledError
        ):
            async with asyncio.timeout(STREAM_S):
                for data in messages:
                    await call.write(data)
                if chance.random() < 0.5:
                    await call.done_writing()
                while await call.read() is not grpc.aio.EOF:
                    pass
        if not call.done():
            call.cancel()
            return "abandoned"
        return await _status(call)

    # Connections

    async def _raw(self, chance: random.Random) -> str:
        """A connection that breaks the rules of HTTP/2."""
        talk = http2_talk(chance)
        async with connected(self._address) as (reader, writer):
            await send(talk, writer)
            if talk.ending is Ending.LEAVE:
                return "client left"
            if talk.ending is Ending.RESET:
                reset(writer)
                return "client left"
            return await _until_quiet(talk, reader)


async def _until_quiet(talk: Talk, reader: asyncio.StreamReader) -> str:
    """Whether a connection is closed, answered or left open."""
    seen = b""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while data := await reader.read(65_536):
                seen += data
    except TimeoutError:
        return "connection kept" if len(seen) > len(PREFACE) else "waits for the rest"
    except ConnectionError:
        return "connection closed"
    return "connection closed"


async def _status(call: grpc.aio.Call) -> str:
    """The status that a call ends with; AssertionError when it blames the server."""
    try:
        code, details = await call.code(), await call.details()
    except asyncio.CancelledError:
        return "cancelled"
    if details == _WRITTEN_TOO_LATE:
        return "ended while the client wrote"
    assert code not in BAD_STATUSES, f"{code}: {details}"
    if code is not grpc.StatusCode.OK and code is not grpc.StatusCode.CANCELLED:
        assert details, code
    return code.name
