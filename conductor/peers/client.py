"""What this node says to one other member: the long-lived Append stream, and calls.

Invariants: at most one stream is open to a member, and messages go into it in the order in which
they were given. The inbox hears `peer_connected` when both sides have introduced themselves and
`peer_disconnected` when that stream is over, so that whatever was in flight is known to be lost.
An Append that stays unanswered ends its stream: a link that is up but moves nothing would look
alive for ever.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from conductor.config import Timing
from conductor.core.messages import Append, Message
from conductor.core.values import Member, MemberKey
from conductor.errors import PeerUnreachable
from conductor.peers.calls import CALLS, SERVICE, Call, encode_request
from conductor.peers.codec import (
    decode_append_answer,
    decode_stream_welcome,
    encode_append,
    encode_stream_opening,
)
from conductor.peers.decoding import decoded
from conductor.peers.error_map import ANSWERABLE, peer_errors
from conductor.peers.liveness import Liveness
from conductor.peers.members import Members
from conductor.peers.send_queue import Outgoing, SendQueue
from conductor.peers.tasks import OwnedTasks, until_one_ends
from conductor.ports import Bodies, PeerInbox

APPEND_PATH = f"/{SERVICE}/Append"
ANSWER_TIMEOUT_MIN_MS = 2_000
RECONNECT_MIN_S = 0.1
RECONNECT_MAX_S = 1.0
OPEN_CALLS_MAX = 32

ByteCall = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
ByteStream = grpc.aio.StreamStreamCall[bytes, bytes]


def answer_timeout_ms(timing: Timing) -> int:
    """How long an Append may stay unanswered, and an opening without a welcome."""
    return max(ANSWER_TIMEOUT_MIN_MS, 2 * timing.lease_ms)


@dataclass(frozen=True, slots=True)
class _Unanswered:
    sequence: int
    due_s: float


class AppendStream:
    """One stream, from its opening to its end."""

    def __init__(self, call: ByteStream, queue: SendQueue, answer_timeout_s: float) -> None:
        self._call = call
        self._queue = queue
        self._answer_timeout_s = answer_timeout_s
        self._unanswered: deque[_Unanswered] = deque()

    async def carry(self, receive: Callable[[Message], None]) -> None:
        """Write what is queued and hand answers to `receive`, until it breaks: that is raised."""
        await until_one_ends(
            self._read(receive), self._write(), self._watch(), self._queue.broken()
        )

    async def _read(self, receive: Callable[[Message], None]) -> None:
        while True:
            answer = decode_append_answer(await read_message(self._call))
            while self._unanswered and self._unanswered[0].sequence <= answer.sequence:
                self._unanswered.popleft()
            receive(answer)

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            outgoing = await self._queue.get()
            due_s = loop.time() + self._answer_timeout_s
            self._unanswered.append(_Unanswered(outgoing.sequence, due_s))
            with peer_errors():
                await self._call.write(outgoing.data)

    async def _watch(self) -> None:
        """Raise when an answer is overdue. The clock of a message runs from its turn to be sent."""
        loop = asyncio.get_running_loop()
        while True:
            now_s = loop.time()
            due_s = (
                self._unanswered[0].due_s if self._unanswered else now_s + self._answer_timeout_s
            )
            if due_s <= now_s:
                sequence = self._unanswered[0].sequence
                raise PeerUnreachable(
                    f"no answer to message {sequence} within {self._answer_timeout_s:g} s"
                )
            await asyncio.sleep(due_s - now_s)


async def read_message(call: ByteStream) -> bytes:
    """The next message of a stream; PeerUnreachable at its end."""
    with peer_errors():
        data = await call.read()
    if not isinstance(data, bytes):
        raise PeerUnreachable("the stream was closed")
    return data


class MemberLink:
    """Everything that goes to one member."""

    def __init__(
        self,
        member: Member,
        channel: grpc.aio.Channel,
        members: Members,
        inbox: PeerInbox,
        liveness: Liveness,
        on_unreachable: Callable[[str, str], None],
        *,
        answer_timeout_ms: int,
        message_bytes_max: int,
    ) -> None:
        self.member = member
        self._channel = channel
        self._members = members
        self._inbox = inbox
        self._liveness = liveness
        self._on_unreachable = on_unreachable
        self._answer_timeout_s = answer_timeout_ms / 1000
        self._message_bytes_max = message_bytes_max
        self._queue: SendQueue | None = None
        self._calls_open = 0
        self._tasks = OwnedTasks()

    def start(self) -> None:
        """Keep a stream open from now on."""
        self._tasks.start(self._keep_stream(), f"stream to {self.member.server_id}")

    async def stop(self) -> None:
        """End the stream and every open call. The inbox hears nothing of it."""
        await self._tasks.stop()

    # Saying

    def send(self, message: Message, bodies: Bodies) -> None:
        """Send an Append into the stream, anything else as a call. Drops what cannot go now."""
        call = CALLS.get(type(message))
        if call is not None:
            self._start_call(call, message, bodies)
        elif isinstance(message, Append) and self._queue is not None:
            data = encode_append(message, bodies)
            if self._fits(data):
                self._queue.put(Outgoing(data, message.sequence))

    def _start_call(self, call: Call, message: Message, bodies: Bodies) -> None:
        if self._calls_open >= OPEN_CALLS_MAX:
            return
        data = encode_request(self._members.speaker, message, bodies)
        if self._fits(data):
            self._calls_open += 1
            self._tasks.start(self._call(call, data), f"{call.name} to {self.member.server_id}")

    def _fits(self, data: bytes) -> bool:
        if len(data) <= self._message_bytes_max:
            return True
        self._report(f"not sent: {len(data)} bytes, over the limit of {self._message_bytes_max}")
        return False

    def _report(self, why: str) -> None:
        self._on_unreachable(self.member.grpc_address, why)

    # Calls

    async def _call(self, call: Call, data: bytes) -> None:
        method: ByteCall = self._channel.unary_unary(f"/{SERVICE}/{call.name}")
        try:
            with peer_errors():
                answer = await method(data, timeout=call.deadline_ms / 1000)
            said = await decoded(call.decode_answer, answer)
            sender = self._members.check_is(said.speaker, self.member.server_id)
        except ANSWERABLE as error:
            self._report(f"{call.name}: {error}")
        else:
            self._inbox.receive(sender, said.message, said.bodies, 0)
        finally:
            self._calls_open -= 1

    # The stream

    async def _keep_stream(self) -> None:
        pause_s = RECONNECT_MIN_S
        while True:
            call: ByteStream = self._channel.stream_stream(APPEND_PATH)()
            try:
                sender = await self._introduce(call)
                pause_s = RECONNECT_MIN_S
                await self._carry(call, sender)
            except ANSWERABLE as error:
                self._report(str(error))
            finally:
                call.cancel()
            self._liveness.suspect(self.member)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RECONNECT_MAX_S)

    async def _introduce(self, call: ByteStream) -> MemberKey:
        with peer_errors():
            async with asyncio.timeout(self._answer_timeout_s):
                await call.write(encode_stream_opening(self._members.speaker))
                welcome = decode_stream_welcome(await read_message(call))
        return self._members.check_is(welcome, self.member.server_id)

    async def _carry(self, call: ByteStream, sender: MemberKey) -> None:
        self._queue = queue = SendQueue()
        stream = AppendStream(call, queue, self._answer_timeout_s)
        self._liveness.heard(sender.server_id)
        self._inbox.peer_connected(sender.server_id)
        try:
            await stream.carry(lambda answer: self._inbox.receive(sender, answer, {}, 0))
        except ANSWERABLE:
            self._inbox.peer_disconnected(sender.server_id)
            raise
        finally:
            self._queue = None
