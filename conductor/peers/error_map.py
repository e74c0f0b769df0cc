"""Where gRPC's errors and ours meet: one table each way, and nowhere else.

The texts cross the wire; the classes do not need to. To a caller, a peer either cannot be reached
now (try again) or has refused what was said (say something else).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType, TracebackType

import grpc

from conductor.errors import (
    ConductorError,
    Overloaded,
    PeerError,
    PeerRejected,
    PeerUnreachable,
    RequestError,
    ShuttingDown,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

ANSWERABLE = (RequestError, Unavailable, PeerError, Overloaded, ShuttingDown)
"""What ends a call with a status. Anything else is our own bug and goes on up."""

_STATUS_BY_ERROR: Mapping[type[ConductorError], grpc.StatusCode] = MappingProxyType(
    {
        RequestError: grpc.StatusCode.INVALID_ARGUMENT,
        TooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,
        Unauthenticated: grpc.StatusCode.PERMISSION_DENIED,
        Unavailable: grpc.StatusCode.UNAVAILABLE,
        PeerError: grpc.StatusCode.FAILED_PRECONDITION,
        PeerUnreachable: grpc.StatusCode.UNAVAILABLE,
        Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
        ShuttingDown: grpc.StatusCode.UNAVAILABLE,
    }
)

_UNREACHABLE = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
    }
)


def status_of(error: ConductorError) -> grpc.StatusCode:
    """The status that a call ends with, by the most specific class of an answerable error."""
    return next(_STATUS_BY_ERROR[kind] for kind in type(error).__mro__ if kind in _STATUS_BY_ERROR)


def peer_error(error: grpc.aio.AioRpcError) -> PeerError:
    """What a call that failed says of the peer."""
    text = f"{error.code().name}: {error.details() or 'no details'}"
    return PeerUnreachable(text) if error.code() in _UNREACHABLE else PeerRejected(text)


class _PeerErrors(AbstractContextManager[None]):
    """Holds nothing, so that one is enough: every message of an idle node goes through it."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            return
        if isinstance(error, grpc.aio.AioRpcError):
            raise peer_error(error) from error
        if isinstance(error, TimeoutError):
            raise PeerUnreachable("no answer in time") from error
        if isinstance(error, asyncio.InvalidStateError):
            raise PeerUnreachable("the stream has ended") from error


_PEER_ERRORS = _PeerErrors()


def peer_errors() -> AbstractContextManager[None]:
    """Turn whatever gRPC raises at a caller into a `PeerError`."""
    return _PEER_ERRORS
