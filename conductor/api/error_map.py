"""What each error is on each wire: one table, and nowhere else.

Invariant: every class of `conductor.errors` has a row of its own. What no caller can mend (a broken
invariant, an exception that nobody foresaw) is logged here with its traceback and crosses no wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import grpc
import structlog

from conductor import errors

logger = structlog.get_logger(__name__)

Outcome = Literal["refused", "unknown"]
"""What became of a payload: never in the log, or perhaps certified later."""

INTERNAL_TEXT = "internal error"

INVALID_PARAMS = -32602
INTERNAL = -32603
SERVER_ERROR = -32000


@dataclass(frozen=True, slots=True)
class WireError:
    """One row: an error class on all three wires."""

    grpc_status: grpc.StatusCode
    http_status: int
    jsonrpc_code: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that happened, as its caller is told of it."""

    code: str
    """Stable, for programs."""
    message: str
    """For people."""
    wire: WireError
    leader_id: str = ""
    """Who leads instead, when that is known to be the matter."""


def _refused(
    grpc_status: grpc.StatusCode, http_status: int, jsonrpc_code: int = SERVER_ERROR
) -> WireError:
    return WireError(grpc_status, http_status, jsonrpc_code, "refused")


def _unknown(
    grpc_status: grpc.StatusCode, http_status: int, jsonrpc_code: int = SERVER_ERROR
) -> WireError:
    return WireError(grpc_status, http_status, jsonrpc_code, "unknown")


_Status = grpc.StatusCode
_INTERNAL = _unknown(_Status.INTERNAL, 500, INTERNAL)

WIRE_ERRORS: Mapping[type[errors.ConductorError], WireError] = MappingProxyType(
    {
        errors.ConductorError: _INTERNAL,
        errors.ConfigError: _unknown(_Status.FAILED_PRECONDITION, 500),
        errors.RequestError: _refused(_Status.INVALID_ARGUMENT, 400, INVALID_PARAMS),
        errors.InvalidPayload: _refused(_Status.INVALID_ARGUMENT, 400, INVALID_PARAMS),
        errors.InvalidArgument: _refused(_Status.INVALID_ARGUMENT, 400, INVALID_PARAMS),
        errors.TooLarge: _refused(_Status.RESOURCE_EXHAUSTED, 413, INVALID_PARAMS),
        errors.NotFound: _refused(_Status.NOT_FOUND, 404),
        errors.Unauthenticated: _refused(_Status.UNAUTHENTICATED, 401),
        errors.Stale: _refused(_Status.FAILED_PRECONDITION, 409),
        errors.Refused: _refused(_Status.FAILED_PRECONDITION, 409),
        errors.NotLeader: _refused(_Status.FAILED_PRECONDITION, 409),
        errors.Conflict: _refused(_Status.FAILED_PRECONDITION, 409),
        errors.Overloaded: _refused(_Status.RESOURCE_EXHAUSTED, 503),
        errors.TransferRefused: _refused(_Status.FAILED_PRECONDITION, 409),
        errors.OutcomeUnknown: _unknown(_Status.UNKNOWN, 503),
        errors.CommitTimeout: _unknown(_Status.DEADLINE_EXCEEDED, 503),
        errors.LeadershipLost: _unknown(_Status.ABORTED, 503),
        errors.ShuttingDown: _unknown(_Status.UNAVAILABLE, 503),
        errors.Unavailable: _refused(_Status.UNAVAILABLE, 503),
        errors.NotFormed: _refused(_Status.UNAVAILABLE, 503),
        errors.PeerError: _unknown(_Status.UNAVAILABLE, 503),
        errors.PeerUnreachable: _unknown(_Status.UNAVAILABLE, 503),
        errors.PeerRejected: _unknown(_Status.FAILED_PRECONDITION, 503),
        errors.StoreError: _unknown(_Status.INTERNAL, 500),
        errors.StoreDamaged: _unknown(_Status.DATA_LOSS, 500),
        errors.StoreLocked: _unknown(_Status.FAILED_PRECONDITION, 500),
        errors.StoreFull: _refused(_Status.RESOURCE_EXHAUSTED, 503),
        errors.StoreMismatch: _unknown(_Status.FAILED_PRECONDITION, 500),
        errors.InvariantViolation: _INTERNAL,
    }
)


def failure_of(error: Exception, call: str) -> Failure:
    """What the caller of `call` is told; what it must not be told is logged instead."""
    if not isinstance(error, errors.ConductorError):
        error_class: type[errors.ConductorError] = errors.ConductorError
    else:
        error_class = next(kind for kind in type(error).__mro__ if kind in WIRE_ERRORS)
    wire = WIRE_ERRORS[error_class]
    if wire is _INTERNAL:
        logger.error("call_failed", call=call, exc_info=error)
        return Failure(error_class.code, INTERNAL_TEXT, wire)
    leader_id = error.leader_id if isinstance(error, errors.NotLeader) else ""
    message = str(error) or error_class.code
    if leader_id and leader_id not in message:
        message = f"{message}: {leader_id} leads"
    return Failure(error_class.code, message, wire, leader_id)
