"""What clients send: JSON-RPC bodies, REST documents and gRPC requests, over a fake conductor."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import grpc
from aiohttp import web

from conductor.api.acknowledgements import acknowledgement_from_json
from conductor.api.bounds import Admission, Bounds
from conductor.api.calls import LastingCalls
from conductor.api.grpc_admin import AdminService
from conductor.api.grpc_edge import Edge
from conductor.api.grpc_service import ConductorService
from conductor.api.jsonrpc import JsonRpc
from conductor.api.jsonrpc_method import Services
from conductor.api.jsonrpc_methods import METHODS
from conductor.api.rest import Rest
from conductor.config import Limits
from conductor.errors import InvalidArgument, RequestError
from conductor.payload import encode
from conductor.v1 import admin_pb2, conductor_pb2, types_pb2
from tests.api.fakes import FakeConductor, an_acknowledgement
from tests.malformed.byte_mutation import noise, spoiled_bytes
from tests.malformed.json_mutation import spoiled_json
from tests.malformed.payload_targets import heavy_json, spoiled_payload_json, spoiled_ssz
from tests.malformed.protobuf_mutation import spoiled_message
from tests.malformed.target import TAKEN, Target, check_text, outcome_of
from tests.payload.builders import a_document, an_envelope, as_bytes

INTERNAL_CODE = -32603
MIB = 2**20

_WORD = an_acknowledgement()
ACKNOWLEDGEMENT = {
    "server_id": _WORD.member.server_id,
    "incarnation": _WORD.member.incarnation,
    "epoch": _WORD.epoch,
    "index": _WORD.index,
    "digest": _WORD.digest.hex(),
    "signature": "0x" + _WORD.signature.hex(),
}
"""A well-formed document of `POST /acknowledge`."""

_ARGUMENTS: dict[str, list[Any]] = {
    "conductor_commitUnsafePayload": [a_document()],
    "conductor_acknowledge": [ACKNOWLEDGEMENT],
    "conductor_payloadByHeight": [1000],
    "conductor_latestUnsafePayload": [True],
    "conductor_overrideLeader": [True],
    "conductor_transferLeaderToServer": ["node-2", "10.0.0.2:8080"],
}
_NEVER_ASKED_WELL = "conductor_stop"


# JSON-RPC


def a_request(chance: random.Random, *, may_stop: bool) -> dict[str, Any]:
    """A well-formed request of any method. Without `may_stop` none that ends the node."""
    method = chance.choice([*METHODS, "conductor_nothing", "eth_blockNumber", "rpc.nothing"])
    arguments = list(_ARGUMENTS.get(method, []))
    if method == _NEVER_ASKED_WELL and not may_stop:
        method = "conductor_leader"
    return {
        "jsonrpc": "2.0",
        "id": chance.choice((1, "a", None)),
        "method": method,
        "params": arguments,
    }


def spoiled_jsonrpc(chance: random.Random, *, may_stop: bool = True) -> bytes:
    """A body of JSON-RPC with something wrong: single messages, and batches of a few or many."""
    way = chance.randrange(20)
    if way == 0:
        return noise(chance)
    if way < 13:
        return spoiled_json(chance, a_request(chance, may_stop=may_stop))
    messages = [a_request(chance, may_stop=may_stop) for _ in range(chance.choice((1, 2, 5)))]
    if way == 13:
        return as_bytes(messages[:1] * chance.choice((99, 100, 101, 500)))
    if way == 14:
        pieces = [spoiled_json(chance, message) for message in messages]
        return b"[" + b",".join(pieces) + b"]"
    return spoiled_json(chance, messages)


def check_jsonrpc(answer: bytes) -> str:
    """The class of an answer to a JSON-RPC body; AssertionError unless it is a clear one."""
    if not answer:
        return "no answer asked for"
    document = json.loads(answer, parse_int=str)  # An id may have more digits than int() takes.
    if isinstance(document, list):
        assert document, "an empty batch"
        return max({_check_message(one) for one in document})
    return _check_message(document)


def _check_message(message: dict[str, Any]) -> str:
    assert message["jsonrpc"] == "2.0"
    assert "id" in message
    if "error" not in message:
        assert message.keys() == {"jsonrpc", "id", "result"}
        return TAKEN
    assert message.keys() == {"jsonrpc", "id", "error"}
    assert message["error"]["code"] != str(INTERNAL_CODE), message
    check_text(message["error"]["message"])
    return f"error {message['error']['code']}"


async def _take_jsonrpc(data: bytes) -> str:
    return check_jsonrpc(await JsonRpc(Services(FakeConductor(), LastingCalls())).answer(data))


# REST


class _Content:
    """The body of a request, as the server reads it."""

    def __init__(self, data: bytes) -> None:
        self._left = data

    async def readany(self) -> bytes:
        """All that is left."""
        data, self._left = self._left, b""
        return data


Handler = Callable[[Any], Awaitable[web.Response]]


def _rest_handlers() -> dict[str, Handler]:
    rest = Rest(FakeConductor(), LastingCalls(), Admission(Bounds()), Limits())
    routes: Any = rest.routes()
    return {route.path: route.handler for route in routes}


def _rest(path: str) -> Callable[[bytes], Awaitable[str]]:
    async def take(data: bytes) -> str:
        text = data.decode("latin-1")
        request: Any = SimpleNamespace(
            headers={},
            content_length=None,
            content=_Content(data),
            query={"consistent": text},
            match_info={"height": text},
        )
        try:
            await _rest_handlers()[path](request)
        except RequestError as error:
            check_text(str(error))
            return type(error).__name__
        return TAKEN

    return take


def spoiled_commit(chance: random.Random) -> bytes:
    """A body of `POST /commit` with something wrong."""
    if chance.random() < 0.2:
        return b'{"payload":%b}' % spoiled_payload_json(chance)
    return spoiled_json(chance, {"payload": a_document()})


def spoiled_acknowledgement(chance: random.Random) -> bytes:
    """A body of `POST /acknowledge` with something wrong."""
    return spoiled_json(chance, ACKNOWLEDGEMENT)


def spoiled_word(chance: random.Random) -> bytes:
    """What stands in a path or a query, with something wrong."""
    return spoiled_bytes(chance, chance.choice((b"1000", b"18446744073709551615", b"true", b"0")))


# gRPC


class _Ended(grpc.RpcError):
    """A call was ended with a status."""

    def __init__(self, status: grpc.StatusCode) -> None:
        super().__init__(status.name)
        self.status = status


class _Context:
    """The context of a call that is served in-process."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[object], None]] = []

    def time_remaining(self) -> float | None:
        """No deadline."""
        return None

    def add_done_callback(self, callback: Callable[[object], None]) -> None:
        """Called when the call is over."""
        self._callbacks.append(callback)

    async def write(self, _: bytes) -> None:
        """A message of a stream."""

    async def abort(self, code: grpc.StatusCode, details: str, _metadata: object) -> None:
        """End the call."""
        check_text(details)
        raise _Ended(code)

    def end(self) -> None:
        """The call is over."""
        for callback in self._callbacks:
            callback(self)


BAD_STATUSES = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})
"""What a client must not be told of an input: it says that the server is at fault."""

REQUESTS: dict[str, bytes] = {
    "/conductor.v1.ConductorService/Commit": conductor_pb2.CommitRequest(
        payload=encode(an_envelope())
    ).SerializeToString(),
    "/conductor.v1.ConductorService/Acknowledge": conductor_pb2.AcknowledgeRequest(
        acknowledgement=types_pb2.Acknowledgement(
            server_id=_WORD.member.server_id,
            incarnation=_WORD.member.incarnation,
            epoch=_WORD.epoch,
            index=_WORD.index,
            digest=_WORD.digest,
            signature=_WORD.signature,
        )
    ).SerializeToString(),
    "/conductor.v1.ConductorService/GetLeader": b"",
    "/conductor.v1.ConductorService/GetStatus": b"",
    "/conductor.v1.ConductorService/GetPayload": conductor_pb2.GetPayloadRequest(
        height=1000
    ).SerializeToString(),
    "/conductor.v1.ConductorService/GetLatestPayload": conductor_pb2.GetLatestPayloadRequest(
        consistent=True
    ).SerializeToString(),
    "/conductor.v1.ConductorService/GetCertificate": b"",
    "/conductor.v1.ConductorService/GetHistory": b"",
    "/conductor.v1.ConductorService/WatchEpochs": b"",
    "/conductor.v1.AdminService/Pause": b"",
    "/conductor.v1.AdminService/Resume": b"",
    "/conductor.v1.AdminService/Stop": b"",
    "/conductor.v1.AdminService/OverrideLeader": admin_pb2.OverrideLeaderRequest(
        overridden=True
    ).SerializeToString(),
    "/conductor.v1.AdminService/TransferLeader": admin_pb2.TransferLeaderRequest(
        server_id="node-2", force=True
    ).SerializeToString(),
}
"""A well-formed request of every RPC for clients; a test holds it against the descriptors."""


class _Rpcs:
    """All RPCs for clients, served in-process."""

    def __init__(self) -> None:
        edge, conductor = Edge(), FakeConductor()
        services = {
            "ConductorService": (conductor_pb2.DESCRIPTOR, ConductorService(conductor)),
            "AdminService": (admin_pb2.DESCRIPTOR, AdminService(conductor)),
        }
        self._handlers = [
            edge.handler(descriptor.services_by_name[name], service, large={"Commit"})
            for name, (descriptor, service) in services.items()
        ]

    async def call(self, method: str, data: bytes) -> str:
        """The status of a call, by its name."""
        details: Any = SimpleNamespace(method=method, invocation_metadata=())
        found = [handler.service(details) for handler in self._handlers]
        (rpc,) = (one for one in found if one is not None)
        context: Any = _Context()
        try:
            serve: Any = rpc.unary_unary or rpc.unary_stream
            await serve(data, context)
        except _Ended as ended:
            status = ended.status
        else:
            status = grpc.StatusCode.OK
        finally:
            context.end()
        assert status not in BAD_STATUSES, status
        return status.name


def spoiled_request(chance: random.Random, method: str) -> bytes:
    """A request of that RPC with something wrong, most of the time."""
    if method.endswith("/Commit") and chance.random() < 0.5:
        return conductor_pb2.CommitRequest(payload=spoiled_ssz(chance)).SerializeToString()
    return spoiled_message(chance, REQUESTS[method])


def _spoiled_call(chance: random.Random) -> bytes:
    """The name of an RPC, a line feed, and a request."""
    method = chance.choice(sorted(REQUESTS))
    return method.encode() + b"\n" + spoiled_request(chance, method)


async def _take_call(data: bytes) -> str:
    method, _, request = data.partition(b"\n")
    return await _Rpcs().call(method.decode(), request)


def _heavy_calls() -> Iterator[bytes]:
    method = b"/conductor.v1.ConductorService/Commit\n"
    yield from (method + piece * (2 * MIB) for piece in (b"\x0a", b"\x12\0", b"\x0b"))


TARGETS = (
    Target(
        "JSON-RPC",
        14,
        spoiled_jsonrpc,
        _take_jsonrpc,
        partial(heavy_json, as_bytes(a_request(random.Random(1), may_stop=True))),
    ),
    Target(
        "POST /commit", 5, spoiled_commit, _rest("/commit"), partial(heavy_json, b'{"payload":{}}')
    ),
    Target("POST /commit-unsafe-payload", 2, spoiled_ssz, _rest("/commit-unsafe-payload")),
    Target("POST /acknowledge", 4, spoiled_acknowledgement, _rest("/acknowledge")),
    Target("GET /payload", 1, spoiled_word, _rest("/payload/{height}")),
    Target("GET /latest", 1, spoiled_word, _rest("/latest")),
    Target(
        "acknowledgement document",
        2,
        spoiled_acknowledgement,
        lambda data: outcome_of(acknowledgement_from_json, data, InvalidArgument),
        partial(heavy_json, as_bytes(ACKNOWLEDGEMENT)),
    ),
    Target(
        "gRPC requests",
        6,
        _spoiled_call,
        _take_call,
        _heavy_calls,
    ),
)
