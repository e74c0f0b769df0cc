"""The edge of the gRPC services: bytes come in, messages go through, errors become statuses.

Invariants: what is no message of its RPC, or over a bound, reaches no service. A call whose client
has given up already begins nothing; one that has begun is the service's to end, and a client that
gives up later cancels only the wait. Whatever clients send or leave lying about, there are at most
`CALLS_MAX` calls, `MEMORY_BYTES_MAX` of large requests and as much of large answers.

The code of an error (docs/errors.md) travels as the reason of a `google.rpc.ErrorInfo`, so that a
client tells errors apart without reading their texts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, Never

import grpc
from google.protobuf import any_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # no stubs

from conductor.api.error_map import Failure, failure_of
from conductor.errors import InvalidArgument, Overloaded, TooLarge

ERROR_DOMAIN = "op-conductor"
DETAILS_KEY = "grpc-status-details-bin"
"""Where gRPC clients look for the details of a status."""

MESSAGE_BYTES_MAX = 1024
"""Trailers have room for 8 KiB, and this text stands there twice, encoded."""

TOO_LATE = "the deadline had passed before the call began: nothing was done"

REQUEST_BYTES_MAX = 64 * 1024
"""Of every request that carries no payload; a call may hold as much uncounted."""

CALLS_MAX = 1024
"""Calls at once, streams included. A call lasts until its client has taken the answer."""

MEMORY_BYTES_MAX = 64 * 2**20
"""Of large requests, and of large answers: apart, so that clients who do not take theirs cannot
keep others from committing. gRPC holds such an answer until the client takes it or is gone."""

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class _Rpc:
    """One RPC, and the method of a service that does it."""

    method: MethodDescriptor
    call: Callable[[Any], Any]
    """Takes the request; gives an awaitable response, or an asynchronous generator of them."""
    request_bytes_max: int | None


class Allowance:
    """What all calls may have together, and how much of that they have."""

    def __init__(self, limit: int, excuse: str) -> None:
        """`excuse` is what a call is told that would take more than is left."""
        self._limit = limit
        self._excuse = excuse
        self.used = 0

    def take(self, amount: int, context: Context) -> None:
        """Have so much of it until the call is over. Overloaded."""
        if self.used + amount > self._limit:
            raise Overloaded(self._excuse)
        self.used += amount

        def give_back(_: object) -> None:
            self.used -= amount

        context.add_done_callback(give_back)  # type: ignore[arg-type]  # stub wants a name: `ctx`


class Edge:
    """Makes gRPC handlers of services, and bounds what all their calls have together."""

    def __init__(
        self, *, calls_max: int = CALLS_MAX, memory_bytes_max: int = MEMORY_BYTES_MAX
    ) -> None:
        self.calls = Allowance(calls_max, f"{calls_max} calls are being served already")
        self.request_bytes = Allowance(
            memory_bytes_max, "other calls fill the memory there is for large requests"
        )
        self.answer_bytes = Allowance(
            memory_bytes_max, "other clients leave too many large answers lying about"
        )

    def handler(
        self, descriptor: ServiceDescriptor, service: object, *, large: Collection[str] = ()
    ) -> grpc.GenericRpcHandler:
        """All RPCs of the descriptor, each by the method of `service` that has its name.

        A method takes the request and gives the response, or an asynchronous generator of them.
        `large` names the RPCs whose requests carry a payload.
        """
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for method in descriptor.methods:
            request_bytes_max = None if method.name in large else REQUEST_BYTES_MAX
            rpc = _Rpc(method, getattr(service, method.name), request_bytes_max)
            if method.server_streaming:
                stream = partial(self._answer_stream, rpc)
                handlers[method.name] = grpc.unary_stream_rpc_method_handler(stream)
            else:
                unary = partial(self._answer, rpc)
                handlers[method.name] = grpc.unary_unary_rpc_method_handler(unary)
        return grpc.method_handlers_generic_handler(descriptor.full_name, handlers)

    async def _answer(self, rpc: _Rpc, data: bytes, context: Context) -> bytes:
        await _refuse_if_late(context)
        outcome = await self._outcome(rpc, data, context)
        if isinstance(outcome, Failure):
            # The context keeps the error that ends the call, with this frame, until the collector
            # finds that they know each other: nothing large may hang on it.
            del data
            await _abort(context, outcome)
        return outcome

    async def _outcome(self, rpc: _Rpc, data: bytes, context: Context) -> bytes | Failure:
        try:
            self._enter(context, len(data))
            response = await rpc.call(_parsed(rpc, data))
            answer: bytes = response.SerializeToString()
            _take_if_large(self.answer_bytes, len(answer), context)
        except Exception as error:
            return failure_of(error, rpc.method.name)
        return answer

    async def _answer_stream(self, rpc: _Rpc, data: bytes, context: Context) -> None:
        await _refuse_if_late(context)
        failure = await self._failure_of_stream(rpc, data, context)
        if failure is not None:
            del data
            await _abort(context, failure)

    async def _failure_of_stream(self, rpc: _Rpc, data: bytes, context: Context) -> Failure | None:
        """Write the whole stream; what has ended it, if not the service."""
        try:
            self._enter(context, len(data))
            async with aclosing(rpc.call(_parsed(rpc, data))) as responses:
                async for response in responses:
                    await context.write(response.SerializeToString())
        except grpc.aio.InternalError:
            raise  # The client left while it was being written to; gRPC ends the call.
        except Exception as error:
            return failure_of(error, rpc.method.name)
        return None

    def _enter(self, context: Context, request_bytes: int) -> None:
        """Count a call and its request until it is over. Overloaded."""
        self.calls.take(1, context)
        _take_if_large(self.request_bytes, request_bytes, context)


def _take_if_large(allowance: Allowance, message_bytes: int, context: Context) -> None:
    if message_bytes > REQUEST_BYTES_MAX:
        allowance.take(message_bytes, context)


def _parsed(rpc: _Rpc, data: bytes) -> Message:
    """The request of an RPC, fields that we do not know skipped. InvalidArgument, TooLarge."""
    request_type, bytes_max = rpc.method.input_type, rpc.request_bytes_max
    if bytes_max is not None and len(data) > bytes_max:
        raise TooLarge(f"a {request_type.name} has at most {bytes_max} bytes, this one {len(data)}")
    try:
        return GetMessageClass(request_type).FromString(data)
    except DecodeError as error:
        raise InvalidArgument(f"the request is no {request_type.full_name}") from error


async def _refuse_if_late(context: Context) -> None:
    """End a call that nobody waits for any more, as when this process was stopped for a while."""
    remaining_s = context.time_remaining()
    if remaining_s is not None and remaining_s <= 0:
        await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, TOO_LATE)


async def _abort(context: Context, failure: Failure) -> Never:
    """End the call with the status of the failure, rich details included."""
    info = error_details_pb2.ErrorInfo(
        reason=failure.code, domain=ERROR_DOMAIN, metadata={"outcome": failure.wire.outcome}
    )
    if failure.leader_id:
        info.metadata["leader_id"] = failure.leader_id
    details = any_pb2.Any()
    details.Pack(info)
    code = failure.wire.grpc_status
    text = failure.message.encode()[:MESSAGE_BYTES_MAX].decode(errors="ignore")
    status = status_pb2.Status(code=code.value[0], message=text, details=[details])
    await context.abort(code, text, ((DETAILS_KEY, status.SerializeToString()),))
