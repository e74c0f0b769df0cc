"""Asks conductors over gRPC. The one place of the command line where gRPC's errors become ours.

Invariant: every call ends within its timeout, and its error says which server it is about. A
channel lives for one call, so that a server that has just come back is found at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # no stubs

from conductor import errors
from conductor.cli.answers import Answer
from conductor.config import Address, Limits
from conductor.errors import ConductorError
from conductor.v1 import admin_pb2, conductor_pb2
from conductor.v1.admin_pb2_grpc import AdminServiceStub
from conductor.v1.conductor_pb2_grpc import ConductorServiceStub

_CHANNEL_OPTIONS = (
    # gRPC takes http_proxy from the environment even for loopback.
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", Limits().grpc_message_bytes_max),
)

_ERROR_DOMAIN = "op-conductor"
_DETAILS_KEY = "grpc-status-details-bin"

Response = TypeVar("Response")


@dataclass(frozen=True, slots=True)
class Call(Generic[Response]):
    """One RPC with its request."""

    begin: Callable[[grpc.aio.Channel, float], Awaitable[Response]]
    """Of a channel and a timeout in seconds."""
    changes: bool = False
    """Whether it changes something: without an answer nobody knows if it did."""


GET_STATUS: Call[conductor_pb2.GetStatusResponse] = Call(
    lambda channel, timeout_s: ConductorServiceStub(channel).GetStatus(
        conductor_pb2.GetStatusRequest(), timeout=timeout_s
    )
)

GET_CERTIFICATE: Call[conductor_pb2.GetCertificateResponse] = Call(
    lambda channel, timeout_s: ConductorServiceStub(channel).GetCertificate(
        conductor_pb2.GetCertificateRequest(), timeout=timeout_s
    )
)

GET_HISTORY: Call[conductor_pb2.GetHistoryResponse] = Call(
    lambda channel, timeout_s: ConductorServiceStub(channel).GetHistory(
        conductor_pb2.GetHistoryRequest(), timeout=timeout_s
    )
)

PAUSE: Call[admin_pb2.PauseResponse] = Call(
    lambda channel, timeout_s: AdminServiceStub(channel).Pause(
        admin_pb2.PauseRequest(), timeout=timeout_s
    ),
    changes=True,
)

RESUME: Call[admin_pb2.ResumeResponse] = Call(
    lambda channel, timeout_s: AdminServiceStub(channel).Resume(
        admin_pb2.ResumeRequest(), timeout=timeout_s
    ),
    changes=True,
)


def override_leader(overridden: bool) -> Call[admin_pb2.OverrideLeaderResponse]:
    """Make a node say that it leads, or the truth again."""
    request = admin_pb2.OverrideLeaderRequest(overridden=overridden)
    return Call(
        lambda channel, timeout_s: AdminServiceStub(channel).OverrideLeader(
            request, timeout=timeout_s
        ),
        changes=True,
    )


def transfer_leader(target: str, *, force: bool) -> Call[admin_pb2.TransferLeaderResponse]:
    """Have the leader pass the leadership to `target`; empty: to the best voter."""
    request = admin_pb2.TransferLeaderRequest(server_id=target, force=force)
    return Call(
        lambda channel, timeout_s: AdminServiceStub(channel).TransferLeader(
            request, timeout=timeout_s
        ),
        changes=True,
    )


def get_payload(height: int) -> Call[conductor_pb2.GetPayloadResponse]:
    """The certified payload of that height."""
    request = conductor_pb2.GetPayloadRequest(height=height)
    return Call(
        lambda channel, timeout_s: ConductorServiceStub(channel).GetPayload(
            request, timeout=timeout_s
        )
    )


def get_latest_payload(*, consistent: bool) -> Call[conductor_pb2.GetLatestPayloadResponse]:
    """The newest certified payload."""
    request = conductor_pb2.GetLatestPayloadRequest(consistent=consistent)
    return Call(
        lambda channel, timeout_s: ConductorServiceStub(channel).GetLatestPayload(
            request, timeout=timeout_s
        )
    )


class Conductors:
    """Asks conductors, several at once. Leaving it as a context manager ends its event loop."""

    def __init__(self, timeout_ms: int) -> None:
        """`timeout_ms`: of every single call."""
        self.timeout_ms = timeout_ms
        self._runner = asyncio.Runner()

    def __enter__(self) -> Conductors:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._runner.close()

    def ask_each(self, call: Call[Response], servers: Sequence[Address]) -> list[Answer[Response]]:
        """What each of them answers, in their order; waits no longer than one timeout."""

        async def ask_all() -> list[Answer[Response]]:
            return list(await asyncio.gather(*(self._ask(call, server) for server in servers)))

        return self._runner.run(ask_all())

    def ask(self, call: Call[Response], server: Address) -> Response:
        """What that one answers; the error that it gives, PeerUnreachable or OutcomeUnknown."""
        (answer,) = self.ask_each(call, [server])
        if isinstance(answer.outcome, ConductorError):
            raise answer.outcome
        return answer.outcome

    async def _ask(self, call: Call[Response], server: Address) -> Answer[Response]:
        async with grpc.aio.insecure_channel(str(server), options=_CHANNEL_OPTIONS) as channel:
            try:
                return Answer(server, await call.begin(channel, self.timeout_ms / 1000))
            except grpc.aio.AioRpcError as error:
                return Answer(server, self._our_error(server, error, changes=call.changes))

    def _our_error(
        self, server: Address, error: grpc.aio.AioRpcError, *, changes: bool
    ) -> ConductorError:
        text = error.details() or ""
        info = _error_info(error)
        kind = _KINDS.get(info.reason) if info is not None else None
        if info is not None and kind is not None:
            return _made(kind, f"{server}: {text}", leader_id=info.metadata.get("leader_id", ""))
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and changes:
            return errors.OutcomeUnknown(
                f"{server} has not answered within {self.timeout_ms} ms, and may still do it: "
                f"look with op-conductor status --server {server}"
            )
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            return errors.PeerUnreachable(
                f"{server} does not answer ({text}): is it running, and is this its gRPC "
                "port (by default the gateway's + 10000)?"
            )
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            return errors.PeerError(
                f"{server} answers UNIMPLEMENTED: {text}: it is another program, or an older "
                "op-conductor"
            )
        return errors.PeerError(f"{server} answers {error.code().name}: {text}")


def _all_kinds() -> Iterator[type[ConductorError]]:
    kinds: list[type[ConductorError]] = [ConductorError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    yield from kinds


_KINDS = {kind.code: kind for kind in _all_kinds() if kind.__module__ == errors.__name__}
"""By the code that crosses the wire (docs/errors.md)."""


def _made(kind: type[ConductorError], text: str, *, leader_id: str) -> ConductorError:
    if issubclass(kind, errors.NotLeader):
        return kind(text, leader_id=leader_id)
    if issubclass(kind, errors.InvalidPayload):
        # Its parts came as one text, and nothing here needs the field on its own.
        return errors.RequestError(text)
    return kind(text)


def _error_info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo | None:
    """The `google.rpc.ErrorInfo` that a conductor sends with an error; None when there is none."""
    for key, value in error.trailing_metadata() or ():
        if key != _DETAILS_KEY or not isinstance(value, bytes):
            continue
        try:
            details = status_pb2.Status.FromString(value).details
            for detail in details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info) and info.domain == _ERROR_DOMAIN:
                    return info
        except DecodeError:
            return None
    return None
