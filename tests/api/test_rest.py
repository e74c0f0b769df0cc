"""What the REST interface answers, word for word."""

from __future__ import annotations

from dataclasses import replace

import pytest
from structlog.typing import EventDict

from conductor import errors
from conductor.payload import encode
from tests.api.conftest import GatewayClient
from tests.api.fakes import EPOCH, VERSION, FakeConductor, an_acknowledgement
from tests.payload.builders import a_document, an_envelope, as_bytes

LARGE = an_envelope(transactions=(bytes(100_000),))


def an_acknowledgement_document(**changes: object) -> dict[str, object]:
    """What a member posts to /acknowledge."""
    word = an_acknowledgement()
    return {
        "server_id": word.member.server_id,
        "incarnation": word.member.incarnation,
        "epoch": word.epoch,
        "index": word.index,
        "digest": word.digest.hex(),
        "signature": word.signature.hex(),
    } | changes


async def test_health_of_a_serving_node(gateway: GatewayClient) -> None:
    reply = await gateway.get("/health")
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("application/json")
    assert reply.document == {
        "healthy": True,
        "identity": "01" * 32,
        "epoch": EPOCH,
        "is_leader": True,
        "server_id": "node-1",
        "leader_id": "node-1",
        "certified_height": 1000,
        "quorum_safe": True,
        "reasons": [],
        "version": VERSION,
    }


async def test_health_of_a_node_that_does_not_serve_is_503_with_the_same_fields(
    gateway: GatewayClient, conductor: FakeConductor
) -> None:
    serving = (await gateway.get("/health")).document
    conductor.health_view = replace(conductor.health_view, serving=False, reasons=("it is paused",))
    reply = await gateway.get("/health")
    assert reply.status == 503
    assert reply.document == serving | {"healthy": False, "reasons": ["it is paused"]}


@pytest.mark.parametrize("path", ["/healthz", "/healthz/"])
async def test_process_that_answers_is_alive_whatever_else_it_is_not(
    gateway: GatewayClient, conductor: FakeConductor, path: str
) -> None:
    conductor.health_view = replace(conductor.health_view, serving=False, leader_id="")
    reply = await gateway.get(path)
    assert (reply.status, reply.document) == (200, {"version": VERSION})


@pytest.mark.parametrize(
    ("leader_id", "serving", "only_paused", "obstacles"),
    [
        ("node-1", True, False, []),
        ("node-2", True, False, []),
        ("node-2", False, True, []),
        ("node-2", False, False, ["why"]),
        ("", True, False, ["no leader is known", "why"]),
        ("", False, False, ["no leader is known", "why"]),
        ("", False, True, ["no leader is known", "why"]),
    ],
)
async def test_node_is_ready_that_knows_a_leader_and_is_fit_or_only_paused(
    gateway: GatewayClient,
    conductor: FakeConductor,
    leader_id: str,
    serving: bool,
    only_paused: bool,
    obstacles: list[str],
) -> None:
    conductor.paused = not serving
    conductor.health_view = replace(
        conductor.health_view,
        leader_id=leader_id,
        serving=serving,
        only_paused=only_paused,
        reasons=("why",),
    )
    reply = await gateway.get("/readyz")
    assert reply.status == (503 if obstacles else 200)
    assert reply.document == {"ready": not obstacles, "reasons": obstacles, "version": VERSION}


@pytest.mark.parametrize("overridden", [True, False])
async def test_leader_is_told_by_every_node_and_truly(
    gateway: GatewayClient, conductor: FakeConductor, overridden: bool
) -> None:
    conductor.leader_view = replace(
        conductor.leader_view, is_leader=False, leader_id="node-2", is_overridden=overridden
    )
    reply = await gateway.get("/leader")
    assert reply.status == 200
    assert reply.document == {
        "is_leader": False,
        "is_overridden": overridden,
        "epoch": EPOCH,
        "next_height": 1001,
        "leader_id": "node-2",
    }


async def test_head_is_answered_like_get_without_a_body(gateway: GatewayClient) -> None:
    reply = await gateway.request("HEAD", "/health")
    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize("version", [1, 2, 3, 4])
async def test_payload_comes_back_as_the_envelope_that_was_committed(
    gateway: GatewayClient, conductor: FakeConductor, version: int
) -> None:
    document = a_document(version)
    assert (await gateway.post("/commit", {"payload": document})).status == 200
    conductor.payloads[1000] = conductor.committed[0]
    by_height, latest = await gateway.get("/payload/1000"), await gateway.get("/latest")
    assert by_height.status == latest.status == 200
    assert by_height.document == latest.document == document


async def test_large_payload_comes_back_whole(
    gateway: GatewayClient, conductor: FakeConductor
) -> None:
    conductor.payloads[1000] = encode(LARGE)
    reply = await gateway.get("/latest")
    assert reply.document["executionPayload"]["transactions"] == ["0x" + "00" * 100_000]


@pytest.mark.parametrize(
    ("query", "consistent"),
    [("", False), ("?consistent=true", True), ("?consistent=1", True), ("?consistent=0", False)],
)
async def test_latest_is_consistent_when_asked(
    gateway: GatewayClient, conductor: FakeConductor, query: str, consistent: bool
) -> None:
    conductor.payloads[1000] = encode(an_envelope())
    assert (await gateway.get(f"/latest{query}")).status == 200
    assert conductor.consistent_reads == [consistent]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/latest", 404, "not_found"),
        ("/payload/999", 404, "not_found"),
        ("/payload/18446744073709551615", 404, "not_found"),
        ("/latest?consistent=yes", 400, "invalid_argument"),
        ("/payload/18446744073709551616", 400, "invalid_argument"),
        ("/payload/-1", 400, "invalid_argument"),
        ("/payload/0x3e8", 400, "invalid_argument"),
        ("/payload/%D9%A1", 400, "invalid_argument"),
        ("/payload/" + "9" * 5000, 400, "invalid_argument"),
        ("/payload/1/2", 404, "not_found"),
        ("/nowhere", 404, "not_found"),
        ("/commit", 405, "invalid_request"),
    ],
)
async def test_error_is_json_with_text_and_code(
    gateway: GatewayClient, path: str, status: int, code: str
) -> None:
    reply = await gateway.get(path)
    assert reply.status == status
    assert reply.headers["Content-Type"].startswith("application/json")
    assert reply.document["code"] == code
    assert reply.document["error"]


async def test_wrong_method_names_the_right_one(gateway: GatewayClient) -> None:
    reply = await gateway.request("DELETE", "/acknowledge")
    assert (reply.status, reply.headers["Allow"]) == (405, "POST")
    assert reply.document == {"error": "method not allowed", "code": "invalid_request"}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.NotLeader(), 409, "not_leader"),
        (errors.CommitTimeout("no quorum"), 503, "commit_timeout"),
        (errors.NotFormed("node-3 is missing"), 503, "not_formed"),
    ],
)
async def test_read_that_fails_says_how(
    gateway: GatewayClient, conductor: FakeConductor, error: Exception, status: int, code: str
) -> None:
    conductor.error = error
    reply = await gateway.get("/latest?consistent=true")
    assert (reply.status, reply.document) == (status, {"error": str(error), "code": code})


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvariantViolation("secret"), "invariant_violation"),
        (ZeroDivisionError("secret"), "internal"),
    ],
)
async def test_own_fault_is_logged_and_not_shown(
    gateway: GatewayClient,
    conductor: FakeConductor,
    logs: list[EventDict],
    error: Exception,
    code: str,
) -> None:
    conductor.error = error
    reply = await gateway.get("/latest")
    assert (reply.status, reply.document) == (500, {"error": "internal error", "code": code})
    assert [(line["call"], line["exc_info"]) for line in logs] == [("GET /latest", error)]


@pytest.mark.parametrize("prefix", ["", "0x"])
async def test_acknowledgement_reaches_the_conductor(
    gateway: GatewayClient, conductor: FakeConductor, prefix: str
) -> None:
    word = an_acknowledgement()
    document = an_acknowledgement_document(
        digest=prefix + word.digest.hex(), signature=prefix + word.signature.hex()
    )
    reply = await gateway.post("/acknowledge", document)
    assert (reply.status, reply.document) == (200, {"certified": True, "height": 1000})
    assert conductor.acknowledged == [word]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.Unauthenticated("node-9 is not a member"), 401, "unauthenticated"),
        (errors.NotLeader(), 409, "not_leader"),
        (errors.Stale("the epoch has passed"), 409, "stale"),
    ],
)
async def test_acknowledgement_that_does_not_count_says_why(
    gateway: GatewayClient, conductor: FakeConductor, error: Exception, status: int, code: str
) -> None:
    conductor.error = error
    reply = await gateway.post("/acknowledge", an_acknowledgement_document())
    assert (reply.status, reply.document) == (status, {"error": str(error), "code": code})


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "empty"),
        (b"{}", "server_id"),
        (b"[]", "object"),
        (b"{", "truncated"),
        (b'{"server_id": "\xff"}', "utf-8"),
        (b'{"x": ' + b"[" * 10_000, "deeply"),
        (as_bytes(an_acknowledgement_document(server_id="")), "server_id"),
        (as_bytes(an_acknowledgement_document(server_id="n" * 257)), "server_id"),
        (as_bytes(an_acknowledgement_document(incarnation=3)), "incarnation"),
        (as_bytes(an_acknowledgement_document(epoch=-1)), "epoch"),
        (as_bytes(an_acknowledgement_document(epoch="7")), "epoch"),
        (as_bytes(an_acknowledgement_document(epoch=1.5)), "epoch"),
        (as_bytes(an_acknowledgement_document(index=0)), "index"),
        (as_bytes(an_acknowledgement_document(index=2**64)), "index"),
        (as_bytes(an_acknowledgement_document(digest="ab" * 31)), "digest"),
        (as_bytes(an_acknowledgement_document(digest="zz" * 32)), "digest"),
        (as_bytes(an_acknowledgement_document(signature="a" * 127)), "signature"),
        (as_bytes(an_acknowledgement_document(signature=None)), "signature"),
    ],
)
async def test_malformed_acknowledgement_is_refused_by_name(
    gateway: GatewayClient, conductor: FakeConductor, body: bytes, named: str
) -> None:
    reply = await gateway.post("/acknowledge", body)
    assert (reply.status, reply.document["code"]) == (400, "invalid_argument")
    assert named in reply.document["error"]
    assert conductor.acknowledged == []


async def test_acknowledgement_of_absurd_size_is_not_even_read(gateway: GatewayClient) -> None:
    reply = await gateway.post("/acknowledge", bytes(65 * 1024))
    assert (reply.status, reply.document["code"]) == (413, "too_large")
