"""Where gRPC's errors and ours meet: one table each way, and nowhere else.

The texts cross the wire; the classes do not need to. To a caller, a peer either cannot be reached
now (try again) or has refused what was said (say something else).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

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


@contextmanager
def peer_errors() -> Iterator[None]:
    """Turn whatever gRPC raises at a caller into a `PeerError`."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise peer_error(error) from error
    except TimeoutError as error:
        raise PeerUnreachable("no answer in time") from error
    except asyncio.InvalidStateError as error:
        raise PeerUnreachable("the stream has ended") from error
