"""JSON-RPC 2.0 as the Go op-conductor speaks it: a body in, a body out.

jsonrpcserver calls the method and shapes the answer. Where it differs from go-ethereum, the code
around it makes up for that: messages are read one by one (`jsonrpc_messages`), batches run in
order, one bad message spoils no other, and the texts of errors are go-ethereum's.

Reference: `rpc/handler.go`, `rpc/errors.go` of ethereum/go-ethereum.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from jsonrpcserver import JsonRpcError, Result, Success, async_dispatch_to_serializable

from conductor.api.calls import worked_out
from conductor.api.error_map import INTERNAL, failure_of
from conductor.api.jsonrpc_messages import (
    BATCH_MAX,
    VERSION,
    Arguments,
    Message,
    first_character,
    read_batch,
    read_message,
)
from conductor.api.jsonrpc_methods import METHODS, Method, Services
from conductor.errors import InvalidArgument, RequestError

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601

METHOD_NAME_BYTES_MAX = 2048
CRASHED_TEXT = "method handler crashed"

Answer = dict[str, Any]
Values = tuple[object, ...]
Handler = Callable[[Services, Values | Exception], Awaitable[Result]]

_NULL = msgspec.Raw(b"null")


@dataclass(frozen=True, slots=True)
class Request:
    """A message whose arguments have been read."""

    message: Message
    values: Values | Exception
    """The exception is why they could not be."""


class JsonRpc:
    """Answers the bodies of `POST /`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._handlers: dict[str, Handler] = {
            name: _handler(name, method) for name, method in METHODS.items()
        }

    async def answer(self, body: bytes) -> bytes:
        """The answer to a message or a batch; empty when nobody waits for one. Never fails."""
        first = first_character(body)
        if not first:
            return b""
        # Payloads in it are decoded on the way: a second trip to another thread costs more.
        requests = await worked_out(_read_batch if first == b"[" else _read_single, body)
        if requests is None:
            return msgspec.json.encode(_error(None, PARSE_ERROR, "parse error"))
        answer = (
            await self._answer_batch(requests)
            if first == b"["
            else await self._answer_one(requests[0])
        )
        return msgspec.json.encode(answer) if answer else b""

    async def _answer_batch(self, requests: list[Request]) -> Answer | list[Answer]:
        if not requests:
            return _error(None, INVALID_REQUEST, "empty batch")
        if len(requests) > BATCH_MAX:
            ids = (one.message.id for one in requests if one.message.id and one.message.method)
            return [_error(next(ids, None), INVALID_REQUEST, "batch too large")]
        answers = [await self._answer_one(request) for request in requests]
        return [answer for answer in answers if answer is not None]

    async def _answer_one(self, request: Request) -> Answer | None:
        """The answer to one message; None to a notification, which is carried out all the same."""
        answer = await self._outcome(request)
        return None if request.message.is_notification else answer

    async def _outcome(self, request: Request) -> Answer | None:
        message_id, method = request.message.id, request.message.method
        if not method:
            return _error(message_id, INVALID_REQUEST, "invalid request")
        if (size := len(method.encode())) > METHOD_NAME_BYTES_MAX:
            text = f"method name too long: {size} > {METHOD_NAME_BYTES_MAX}"
            return _error(message_id, INVALID_REQUEST, text)
        if method not in self._handlers:
            text = f"the method {method} does not exist/is not available"
            return _error(message_id, METHOD_NOT_FOUND, text)
        answer = await async_dispatch_to_serializable(
            {"method": method, "params": [request.values], "id": message_id},
            self._handlers,
            context=self._services,
            deserializer=_as_it_is,
            validator=_as_it_is,
        )
        return cast(Answer | None, answer)


def _as_it_is(request: Any) -> Any:
    return request


def _error(message_id: msgspec.Raw | None, code: int, text: str) -> Answer:
    error = {"code": code, "message": text}
    return {"jsonrpc": VERSION, "id": message_id or _NULL, "error": error}


def _read_single(body: bytes) -> list[Request] | None:
    message = read_message(body)
    return None if message is None else [_request(message)]


def _read_batch(body: bytes) -> list[Request] | None:
    messages = read_batch(body)
    if messages is None:
        return None
    if len(messages) > BATCH_MAX:
        return [Request(message, ()) for message in messages]
    return [_request(message) for message in messages]


def _request(message: Message) -> Request:
    """The message with its arguments, or with the error that its handler is to raise."""
    method = METHODS.get(message.method)
    try:
        return Request(message, _values(message.arguments, method) if method else ())
    except Exception as error:
        return Request(message, error)


def _values(arguments: Arguments | None, method: Method) -> Values:
    """The arguments, as many as the method takes, each as its reader reads it. InvalidArgument."""
    count = len(method.readers)
    if arguments is None:
        raise InvalidArgument("non-array args")
    if len(arguments) > count:
        raise InvalidArgument(f"too many arguments, want at most {count}")
    values = []
    for place, read in enumerate(method.readers):
        if place >= len(arguments) or bytes(memoryview(arguments[place])[:5]) == b"null":
            raise InvalidArgument(f"missing value for required argument {place}")
        try:
            values.append(read(arguments[place]))
        except RequestError as error:
            raise InvalidArgument(f"invalid argument {place}: {error}") from error
    return tuple(values)


def _handler(name: str, method: Method) -> Handler:
    """The method as jsonrpcserver calls it. This is an edge: every error becomes an answer here."""

    async def handle(services: Services, values: Values | Exception) -> Result:
        try:
            if isinstance(values, Exception):
                raise values
            return Success(await method.run(services, *values))
        except JsonRpcError:
            raise
        except Exception as error:
            failure = failure_of(error, name)
            code = failure.wire.jsonrpc_code
            text = CRASHED_TEXT if code == INTERNAL else failure.message
            raise JsonRpcError(code, text) from error

    return handle
