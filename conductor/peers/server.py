"""What other members say to this node: `ReplicationService`.

Invariants: only a member of this cluster reaches the inbox, in the order in which it spoke on its
stream; an answer goes to the call that it belongs to, or nowhere. What is malformed ends its own
call and changes nothing else. A stream that ends is a reason to look whether its member is dead:
that is how a follower learns within milliseconds that its leader was killed.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import grpc

from conductor.core.greeting import Greeting
from conductor.core.messages import (
    Acknowledged,
    AppendRefusal,
    Heard,
    Message,
    Mismatch,
)
from conductor.core.values import MemberKey
from conductor.errors import Overloaded, PeerUnreachable, ShuttingDown, Unavailable, ensure
from conductor.peers.calls import CALLS, SERVICE, Call, encode_answer
from conductor.peers.codec import (
    decode_append,
    decode_greet_request,
    decode_stream_opening,
    encode_append_answer,
    encode_greet_answer,
    encode_stream_welcome,
)
from conductor.peers.decoding import decoded, remembering
from conductor.peers.error_map import ANSWERABLE, status_of
from conductor.peers.liveness import Liveness
from conductor.peers.members import Members
from conductor.peers.send_queue import Outgoing, SendQueue
from conductor.peers.tasks import until_one_ends
from conductor.peers.wire_values import Speaker
from conductor.ports import Bodies, PeerInbox

OPEN_CALLS_MAX = 256
OPENING_DEADLINE_S = 2.0
STOPPING = "this server stops"

Context = grpc.aio.ServicerContext[bytes, bytes]
Answer = Callable[[Message, Bodies], None]

_Result = TypeVar("_Result")


class ReplyDesk:
    """The open calls and streams, each under the number that its messages are answered with."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._open: dict[int, Answer] = {}

    @contextmanager
    def opened(self, answer: Answer) -> Iterator[int]:
        """A number under which `answer` is called, for as long as the context lasts."""
        if len(self._open) >= OPEN_CALLS_MAX:
            raise Overloaded(f"{len(self._open)} calls of other members are open already")
        reply_to = next(self._numbers)
        self._open[reply_to] = answer
        try:
            yield reply_to
        finally:
            del self._open[reply_to]

    def answer(self, reply_to: int, message: Message, bodies: Bodies) -> None:
        """Answer the call of that number; nobody listens any more when it is over."""
        answer = self._open.get(reply_to)
        if answer is not None:
            answer(message, bodies)


class ReplicationServer:
    """Serves the members of this cluster, and greetings to anyone."""

    def __init__(
        self,
        members: Members,
        inbox: PeerInbox,
        liveness: Liveness,
        on_greeted: Callable[[Greeting], None],
    ) -> None:
        self._members = members
        self._inbox = inbox
        self._liveness = liveness
        self._on_greeted = on_greeted
        self._decode_greeting = remembering(decode_greet_request)
        self._desk = ReplyDesk()
        self._streams: set[SendQueue] = set()
        self._stopped = False

    def handler(self) -> grpc.GenericRpcHandler:
        """All methods of the service. They take and give bytes: the codecs check every one."""
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]]
        handlers = {"Greet": grpc.unary_unary_rpc_method_handler(self._greet)}
        for call in CALLS.values():
            handlers[call.name] = grpc.unary_unary_rpc_method_handler(partial(self._take, call))
        handlers["Append"] = grpc.stream_stream_rpc_method_handler(self._append)
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    def answer(self, reply_to: int, message: Message, bodies: Bodies) -> None:
        """Answer an open call or stream."""
        self._desk.answer(reply_to, message, bodies)

    def stop(self) -> None:
        """End all streams, which would keep the gRPC server from stopping, and take no more."""
        self._stopped = True
        for queue in self._streams:
            queue.fail(ShuttingDown(STOPPING))

    def _checked(self, speaker: Speaker) -> MemberKey:
        if self._stopped:
            raise ShuttingDown(STOPPING)
        return self._members.check(speaker)

    # Calls

    async def _greet(self, data: bytes, context: Context) -> bytes:
        return await _or_abort(context, self._greeted(data))

    async def _greeted(self, data: bytes) -> bytes:
        greeting = await decoded(self._decode_greeting, data)
        self._on_greeted(greeting)
        return encode_greet_answer(self._members.greeting)

    async def _take(self, call: Call, data: bytes, context: Context) -> bytes:
        return await _or_abort(context, self._answered(call, data))

    async def _answered(self, call: Call, data: bytes) -> bytes:
        said = await decoded(call.decode_request, data)
        sender = self._checked(said.speaker)
        answered: asyncio.Future[tuple[Message, Bodies]]
        answered = asyncio.get_running_loop().create_future()

        def answer(message: Message, bodies: Bodies) -> None:
            # A call has one answer: that an Append was heard is followed by what became of it.
            if not isinstance(message, Heard) and not answered.done():
                answered.set_result((message, bodies))

        with self._desk.opened(answer) as reply_to:
            self._inbox.receive(sender, said.message, said.bodies, reply_to)
            try:
                async with asyncio.timeout(call.deadline_ms / 1000):
                    message, bodies = await answered
            except TimeoutError as error:
                raise Unavailable("this server had no answer in time") from error
        return encode_answer(self._members.speaker, message, bodies)

    # Streams

    async def _append(self, _requests: object, context: Context) -> None:
        await _or_abort(context, self._converse(context))

    async def _converse(self, context: Context) -> None:
        try:
            async with asyncio.timeout(OPENING_DEADLINE_S):
                speaker = decode_stream_opening(await _read(context))
        except TimeoutError as error:
            raise PeerUnreachable("the stream was opened without a word") from error
        sender = self._checked(speaker)
        try:
            await self._carry(context, sender)
        finally:
            self._suspect(sender)

    async def _carry(self, context: Context, sender: MemberKey) -> None:
        self._liveness.heard(sender.server_id)
        queue = SendQueue()
        self._streams.add(queue)
        try:
            with self._desk.opened(partial(_put_answer, queue)) as reply_to:
                await context.write(encode_stream_welcome(self._members.speaker))
                await until_one_ends(
                    self._read_appends(context, sender, reply_to),
                    _write_answers(context, queue),
                    queue.broken(),
                )
        finally:
            self._streams.discard(queue)

    async def _read_appends(self, context: Context, sender: MemberKey, reply_to: int) -> None:
        while True:
            append, bodies = await decoded(decode_append, await _read(context))
            self._inbox.receive(sender, append, bodies, reply_to)

    def _suspect(self, sender: MemberKey) -> None:
        member = self._members.others.get(sender.server_id)
        if member is not None and not self._stopped:
            self._liveness.suspect(member)


def _put_answer(queue: SendQueue, message: Message, _bodies: Bodies) -> None:
    is_answer = isinstance(message, Heard | Acknowledged | Mismatch | AppendRefusal)
    ensure(is_answer, f"{type(message).__name__} is no answer to an Append")
    assert isinstance(message, Heard | Acknowledged | Mismatch | AppendRefusal)
    queue.put(Outgoing(encode_append_answer(message)))


async def _write_answers(context: Context, queue: SendQueue) -> None:
    while True:
        outgoing = await queue.get()
        await context.write(outgoing.data)


async def _read(context: Context) -> bytes:
    """The next message of a stream; PeerUnreachable at its end."""
    data: Any = await context.read()
    if not isinstance(data, bytes):
        raise PeerUnreachable("the stream was closed")
    return data


async def _or_abort(context: Context, work: Awaitable[_Result]) -> _Result:
    """What `work` gives, or the status of what it raises."""
    try:
        return await work
    except ANSWERABLE as error:
        await context.abort(status_of(error), str(error))
