"""The gRPC service as a plain blocking client sees it, from another thread, over a real port."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # no stubs
from structlog.testing import capture_logs

from conductor import errors
from conductor.api import register
from conductor.core.values import Position
from conductor.payload import encode
from conductor.v1 import conductor_pb2, conductor_pb2_grpc, types_pb2
from tests.api.fakes import (
    EPOCH,
    GENESIS,
    INDEX,
    VERSION,
    FakeConductor,
    a_certificate,
    a_member,
    an_acknowledgement,
)
from tests.payload.builders import an_envelope

SSZ = encode(an_envelope())
DEADLINE_S = 10


class ServerThread:
    """The real aio server on an event loop of its own."""

    def __init__(self) -> None:
        self.conductor = FakeConductor()
        self.address = ""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._ready = threading.Event()
        self._end = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = grpc.aio.server()
        register(server, self.conductor)
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        self._ready.set()
        await self._end.wait()
        await server.stop(None)

    def __enter__(self) -> ServerThread:
        self._thread.start()
        assert self._ready.wait(DEADLINE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()


@pytest.fixture(scope="module")
def grpc_server() -> Iterator[ServerThread]:
    """In place of pytest-grpc's, which runs servicers in threads and knows no asyncio."""
    with ServerThread() as server:
        yield server


@pytest.fixture(scope="module")
def grpc_addr(grpc_server: ServerThread) -> str:
    """In place of pytest-grpc's, which leaks a socket."""
    return grpc_server.address


@pytest.fixture(scope="module")
def grpc_stub_cls() -> Any:
    """The client that pytest-grpc makes of its channel."""
    return conductor_pb2_grpc.ConductorServiceStub


@pytest.fixture
def conductor(grpc_server: ServerThread) -> FakeConductor:
    """The conductor behind the service, as new: the service holds on to the one object."""
    vars(grpc_server.conductor).update(vars(FakeConductor()))
    return grpc_server.conductor


def failure_of(call: Any, request: Any) -> tuple[grpc.StatusCode, str, Any]:
    """Status, text and the one detail of a call that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=DEADLINE_S)
    error: Any = caught.value
    trailers = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    assert status.code == error.code().value[0]
    assert status.message == error.details()
    (detail,) = status.details
    info = error_details_pb2.ErrorInfo()
    assert detail.Unpack(info)
    assert info.domain == "op-conductor"
    return error.code(), error.details(), info


def test_commit_answers_where_the_payload_is(conductor: FakeConductor, grpc_stub: Any) -> None:
    answer = grpc_stub.Commit(conductor_pb2.CommitRequest(payload=SSZ))
    assert answer == conductor_pb2.CommitResponse(height=1000, epoch=EPOCH, index=INDEX)
    assert conductor.committed == [SSZ]


def test_acknowledgement_reaches_the_conductor(conductor: FakeConductor, grpc_stub: Any) -> None:
    word = an_acknowledgement()
    request = conductor_pb2.AcknowledgeRequest(acknowledgement=a_wire_acknowledgement())
    answer = grpc_stub.Acknowledge(request)
    assert answer == conductor_pb2.AcknowledgeResponse(certified=True, height=1000)
    assert conductor.acknowledged == [word]


def a_wire_acknowledgement(**changes: Any) -> types_pb2.Acknowledgement:
    """`an_acknowledgement` on the wire."""
    word = an_acknowledgement()
    fields: dict[str, Any] = {
        "server_id": word.member.server_id,
        "incarnation": word.member.incarnation,
        "epoch": word.epoch,
        "index": word.index,
        "digest": word.digest,
        "signature": word.signature,
    }
    return types_pb2.Acknowledgement(**(fields | changes))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"server_id": ""}, "server_id"),
        ({"server_id": "é" * 129}, "server_id"),
        ({"incarnation": ""}, "incarnation"),
        ({"epoch": 0}, "epoch"),
        ({"index": 0}, "index"),
        ({"digest": b"short"}, "digest"),
        ({"signature": b""}, "signature"),
    ],
)
def test_malformed_acknowledgement_is_refused_by_name(
    conductor: FakeConductor, grpc_stub: Any, change: dict[str, object], named: str
) -> None:
    request = conductor_pb2.AcknowledgeRequest(acknowledgement=a_wire_acknowledgement(**change))
    code, text, info = failure_of(grpc_stub.Acknowledge, request)
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_argument")
    assert text.startswith(f"{named}: ")
    assert conductor.acknowledged == []


def test_missing_acknowledgement_is_refused(conductor: FakeConductor, grpc_stub: Any) -> None:
    code, _, _ = failure_of(grpc_stub.Acknowledge, conductor_pb2.AcknowledgeRequest())
    assert code is grpc.StatusCode.INVALID_ARGUMENT


def test_leader_is_told(conductor: FakeConductor, grpc_stub: Any) -> None:
    answer = grpc_stub.GetLeader(conductor_pb2.GetLeaderRequest())
    assert answer == conductor_pb2.GetLeaderResponse(
        is_leader=True, epoch=EPOCH, next_height=1001, leader_id="node-1"
    )


def test_status_tells_everything(conductor: FakeConductor, grpc_stub: Any) -> None:
    status, health = conductor.status(), conductor.health_view
    answer = grpc_stub.GetStatus(conductor_pb2.GetStatusRequest())
    members = list(answer.members)
    del answer.members[:]
    assert answer == conductor_pb2.GetStatusResponse(
        cluster_name="test",
        cluster_id=GENESIS.cluster_id,
        server_id="node-1",
        incarnation=a_member(1).incarnation,
        role="leader",
        is_leader=True,
        leader_id="node-1",
        epoch=EPOCH,
        last=a_position(status.last),
        certified=a_position(status.certified),
        certified_height=health.certified_height,
        base_index=11,
        serving=True,
        quorum_safe=True,
        quorum=2,
        version=VERSION,
    )
    assert [member.member for member in members] == [a_wire_member(n) for n in (1, 2, 3)]
    assert [member.role for member in members] == ["leader", "follower", "follower"]
    assert [member.serving for member in members] == [True, True, False]
    assert [member.match_index for member in members] == [41, 42, 43]
    assert all(member.reachable for member in members)


def a_position(position: Position) -> types_pb2.Position:
    """A position on the wire."""
    return types_pb2.Position(index=position.index, epoch=position.epoch, digest=position.digest)


def a_wire_member(number: int) -> types_pb2.Member:
    """`a_member` on the wire."""
    member = a_member(number)
    return types_pb2.Member(
        server_id=member.server_id,
        incarnation=member.incarnation,
        public_key=member.public_key,
        grpc_address=member.grpc_address,
        gateway_address=member.gateway_address,
        voter=True,
    )


def test_payload_is_found_by_height(conductor: FakeConductor, grpc_stub: Any) -> None:
    conductor.payloads[1000] = SSZ
    answer = grpc_stub.GetPayload(conductor_pb2.GetPayloadRequest(height=1000))
    assert answer == conductor_pb2.GetPayloadResponse(payload=SSZ, index=INDEX, epoch=EPOCH)


@pytest.mark.parametrize("consistent", [True, False])
def test_latest_payload_is_consistent_when_asked(
    conductor: FakeConductor, grpc_stub: Any, consistent: bool
) -> None:
    conductor.payloads[1000] = SSZ
    request = conductor_pb2.GetLatestPayloadRequest(consistent=consistent)
    answer = grpc_stub.GetLatestPayload(request)
    assert answer == conductor_pb2.GetLatestPayloadResponse(payload=SSZ, index=INDEX, epoch=EPOCH)
    assert conductor.consistent_reads == [consistent]


def test_certificate_comes_with_what_is_needed_to_check_it(
    conductor: FakeConductor, grpc_stub: Any
) -> None:
    certificate = a_certificate()
    answer = grpc_stub.GetCertificate(conductor_pb2.GetCertificateRequest())
    assert answer == conductor_pb2.GetCertificateResponse(
        certificate=types_pb2.Certificate(
            epoch=EPOCH,
            index=INDEX,
            previous_digest=certificate.previous_digest,
            kind=types_pb2.ENTRY_KIND_PAYLOAD,
            body_hash=certificate.body_hash,
            acknowledgements=[
                a_wire_acknowledgement(server_id=f"node-{n}", incarnation=a_member(n).incarnation)
                for n in (1, 2)
            ],
        ),
        cluster_id=GENESIS.cluster_id,
        membership=types_pb2.Membership(members=[a_wire_member(n) for n in (1, 2, 3)]),
        head=types_pb2.Head(
            height=99, block_hash=b"\x04" * 32, parent_hash=b"\x05" * 32, body_hash=b"\x06" * 32
        ),
    )


@pytest.mark.parametrize(
    ("error", "code", "reason", "outcome"),
    [
        (errors.NotLeader(), "FAILED_PRECONDITION", "not_leader", "refused"),
        (errors.Conflict("expected 5"), "FAILED_PRECONDITION", "conflict", "refused"),
        (errors.Overloaded("64 wait"), "RESOURCE_EXHAUSTED", "overloaded", "refused"),
        (errors.NotFormed("node-3"), "UNAVAILABLE", "not_formed", "refused"),
        (errors.InvalidPayload("gasUsed", "is"), "INVALID_ARGUMENT", "invalid_payload", "refused"),
        (errors.CommitTimeout("late"), "DEADLINE_EXCEEDED", "commit_timeout", "unknown"),
        (errors.LeadershipLost("gone"), "ABORTED", "leadership_lost", "unknown"),
        (errors.ShuttingDown("stops"), "UNAVAILABLE", "shutting_down", "unknown"),
    ],
)
def test_commit_that_fails_says_what_became_of_the_payload(
    conductor: FakeConductor,
    grpc_stub: Any,
    error: Exception,
    code: str,
    reason: str,
    outcome: str,
) -> None:
    conductor.error = error
    status, text, info = failure_of(grpc_stub.Commit, conductor_pb2.CommitRequest(payload=SSZ))
    assert (status.name, text, info.reason) == (code, str(error), reason)
    assert dict(info.metadata) == {"outcome": outcome}


def test_follower_names_the_leader(conductor: FakeConductor, grpc_stub: Any) -> None:
    conductor.error = errors.NotLeader(leader_id="node-2")
    _, text, info = failure_of(grpc_stub.Commit, conductor_pb2.CommitRequest(payload=SSZ))
    assert text == "node is not the leader: node-2 leads"
    assert info.metadata["leader_id"] == "node-2"


@pytest.mark.parametrize(
    ("method", "request_message"),
    [
        ("GetPayload", conductor_pb2.GetPayloadRequest(height=5)),
        ("GetLatestPayload", conductor_pb2.GetLatestPayloadRequest()),
        ("GetCertificate", conductor_pb2.GetCertificateRequest()),
    ],
)
def test_what_is_not_there_is_not_found(
    conductor: FakeConductor, grpc_stub: Any, method: str, request_message: Any
) -> None:
    conductor.error = errors.NotFound("nothing is certified yet")
    code, _, info = failure_of(getattr(grpc_stub, method), request_message)
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "not_found")


def test_own_fault_is_logged_and_not_shown(conductor: FakeConductor, grpc_stub: Any) -> None:
    conductor.error = ZeroDivisionError("secret")
    with capture_logs() as logs:
        code, text, info = failure_of(grpc_stub.Commit, conductor_pb2.CommitRequest(payload=SSZ))
    assert (code, text) == (grpc.StatusCode.INTERNAL, "internal error")
    assert info.reason == "internal"
    assert [(line["call"], line["exc_info"]) for line in logs] == [("Commit", conductor.error)]


@pytest.mark.parametrize("letter", ["x", "é", "\U0001f600"])
def test_text_too_long_for_the_trailers_is_cut(
    conductor: FakeConductor, grpc_stub: Any, letter: str
) -> None:
    conductor.error = errors.NotFormed(letter * 100_000)
    code, text, _ = failure_of(grpc_stub.Commit, conductor_pb2.CommitRequest(payload=SSZ))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert 0 < len(text.encode()) <= 1024
    assert set(text) == {letter}


def test_payload_of_two_megabytes_passes_both_ways(
    conductor: FakeConductor, grpc_stub: Any
) -> None:
    ssz = encode(an_envelope(transactions=(bytes(2 * 2**20),)))
    grpc_stub.Commit(conductor_pb2.CommitRequest(payload=ssz))
    assert conductor.committed == [ssz]
    conductor.payloads[1000] = ssz
    assert grpc_stub.GetPayload(conductor_pb2.GetPayloadRequest(height=1000)).payload == ssz
