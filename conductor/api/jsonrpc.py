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
from conductor.api.error_map import INTERNAL, SERVER_ERROR, failure_of
from conductor.api.jsonrpc_messages import (
    BATCH_MAX,
    VERSION,
    Arguments,
    Message,
    first_character,
    read_batch,
    read_message,
)
from conductor.api.jsonrpc_method import Method, Parameter, Services
from conductor.api.jsonrpc_methods import METHODS
from conductor.errors import InvalidArgument, Overloaded, RequestError

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
RESPONSE_TOO_LARGE = -32003

BATCH_ANSWER_BYTES_MAX = 25_000_000
"""Of the answers to a batch, as at a go-ethereum node; the last one may go over it."""
SMALL_ANSWER_BYTES = 4096
"""Answers up to this are kept without asking: what a commit has come to must not get lost."""

METHOD_NAME_BYTES_MAX = 2048
CRASHED_TEXT = "method handler crashed"

Answer = dict[str, Any]
Values = tuple[object, ...]
Handler = Callable[[Services, Values | Exception], Awaitable[Result]]
Hold = Callable[[int], None]
"""Told how many bytes of answers are kept; Overloaded when there is no room for them."""

_NULL = msgspec.Raw(b"null")


def _hold_anything(_: int) -> None:
    """There is room for everything."""


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

    async def answer(self, body: bytes, hold: Hold = _hold_anything) -> bytes:
        """The answer to a message or a batch; empty when nobody waits for one. Never fails.

        `hold` is asked before another large answer of a batch is kept beside those before it.
        """
        first = first_character(body)
        if not first:
            return b""
        # Payloads in it are decoded on the way: a second trip to another thread costs more.
        requests = await worked_out(_read_batch if first == b"[" else _read_single, body)
        if requests is None:
            return _encoded(_error(None, PARSE_ERROR, "parse error"))
        if first != b"[":
            return await self._answer_one(requests[0])
        return await self._answer_batch(requests, hold)

    async def _answer_batch(self, requests: list[Request], hold: Hold) -> bytes:
        if not requests:
            return _encoded(_error(None, INVALID_REQUEST, "empty batch"))
        if len(requests) > BATCH_MAX:
            ids = (one.message.id for one in requests if one.message.id and one.message.method)
            return _encoded([_error(next(ids, None), INVALID_REQUEST, "batch too large")])
        answers: list[bytes] = []
        size = 0
        for request in requests:
            answer = await self._answer_in_batch(request, size, hold)
            if answer:
                answers.append(answer)
                size += len(answer)
        return b"[" + b",".join(answers) + b"]" if answers else b""

    async def _answer_in_batch(self, request: Request, size: int, hold: Hold) -> bytes:
        """The answer after others of `size` bytes. Above the limit no message is carried out."""
        message_id = request.message.id
        if size > BATCH_ANSWER_BYTES_MAX:
            if request.message.is_notification:
                return b""
            return _encoded(_error(message_id, RESPONSE_TOO_LARGE, "response too large"))
        answer = await self._answer_one(request)
        if len(answer) > SMALL_ANSWER_BYTES:
            try:
                hold(size + len(answer))
            except Overloaded as error:
                return _encoded(_error(message_id, SERVER_ERROR, str(error)))
        return answer

    async def _answer_one(self, request: Request) -> bytes:
        """The answer to one message; empty to a notification, which is carried out all the same."""
        answer = await self._outcome(request)
        return b"" if request.message.is_notification else _encoded(answer)

    async def _outcome(self, request: Request) -> Answer:
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
        return cast(Answer, answer)


def _as_it_is(request: Any) -> Any:
    return request


def _encoded(answer: Answer | list[Answer]) -> bytes:
    return msgspec.json.encode(answer)


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
    """The arguments, each as its parameter reads it, up to the first wrong one. InvalidArgument."""
    parameters = method.parameters
    if arguments is None:
        raise InvalidArgument("non-array args")
    values = []
    for place, argument in enumerate(arguments):
        if place >= len(parameters):
            raise InvalidArgument(f"too many arguments, want at most {len(parameters)}")
        values.append(_value(parameters[place], place, argument))
    for place in range(len(values), len(parameters)):
        values.append(_value(parameters[place], place, _NULL))
    return tuple(values)


def _value(parameter: Parameter, place: int, argument: msgspec.Raw) -> object:
    """One argument; null is the same as none."""
    if bytes(memoryview(argument)[:4]) == b"null":
        if parameter.is_required:
            raise InvalidArgument(f"missing value for required argument {place}")
        return parameter.default
    try:
        return parameter.read(argument)
    except RequestError as error:
        raise InvalidArgument(f"invalid argument {place}: {error}") from error


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
