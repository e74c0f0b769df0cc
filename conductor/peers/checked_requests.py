"""Servicers of gRPC's own libraries, made to stand any bytes.

Law: bytes that are no request end their call with INVALID_ARGUMENT, and nothing else happens. Left
to itself, gRPC calls them an unexpected error of the server and logs a traceback for each.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.message import DecodeError

_Context = grpc.aio.ServicerContext[Any, Any]


class CheckedRequests:
    """Stands for a server where a library's `add_..._to_server` wants one."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, _: object) -> None:
        """Nothing: the same handlers come once more, by their names."""

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Add the service to the server, with requests that are checked."""
        checked = {name: _checked(handler) for name, handler in handlers.items()}
        generic = grpc.method_handlers_generic_handler(service, checked)
        self._server.add_generic_rpc_handlers((generic,))


def _checked(handler: Any) -> grpc.RpcMethodHandler[Any, Any]:
    """The handler of an RPC, taking bytes. Of those with one request, it is a coroutine."""
    parse, serialize = handler.request_deserializer, handler.response_serializer
    if handler.request_streaming:
        return grpc.stream_stream_rpc_method_handler(
            _conversation(handler.stream_stream, parse), response_serializer=serialize
        )

    async def answer(data: bytes, context: _Context) -> Any:
        request = await _parsed(parse, data, context)
        return await (handler.unary_stream or handler.unary_unary)(request, context)

    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(answer, response_serializer=serialize)
    return grpc.unary_unary_rpc_method_handler(answer, response_serializer=serialize)


def _conversation(
    converse: Callable[[AsyncIterator[Any], _Context], AsyncGenerator[Any, None]],
    parse: Callable[[bytes], Any],
) -> Callable[[AsyncIterator[bytes], _Context], AsyncGenerator[Any, None]]:
    """An RPC with streams both ways, which is an asynchronous generator."""

    async def answer(
        messages: AsyncIterator[bytes], context: _Context
    ) -> AsyncGenerator[Any, None]:
        async def requests() -> AsyncGenerator[Any, None]:
            async for data in messages:
                yield await _parsed(parse, data, context)

        async with aclosing(requests()) as checked, aclosing(converse(checked, context)) as answers:
            async for response in answers:
                yield response

    return answer


async def _parsed(parse: Callable[[bytes], Any], data: bytes, context: _Context) -> Any:
    try:
        return parse(data)
    except DecodeError as error:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"no such request: {error}")
