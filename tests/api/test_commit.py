"""Commits over HTTP: what is certified, what is refused, and what nobody knows."""

from __future__ import annotations

import pytest
from structlog.typing import EventDict

from conductor import errors
from conductor.config import Limits
from conductor.payload import encode, ssz_from_json
from tests.api.conftest import GatewayClient, StartGateway
from tests.api.fakes import EPOCH, INDEX, FakeConductor
from tests.payload.builders import a_document, an_envelope, as_bytes

SSZ = encode(an_envelope())
SSZ_HEADERS = {"Content-Type": "application/octet-stream"}

FAILURES = [
    (errors.NotLeader(), 409, "not_leader", "refused"),
    (errors.Conflict("expected block 5, got 9"), 409, "conflict", "refused"),
    (errors.Overloaded("64 payloads wait"), 503, "overloaded", "refused"),
    (errors.NotFormed("node-3 is missing"), 503, "not_formed", "refused"),
    (errors.StoreFull("no space left"), 503, "store_full", "refused"),
    (errors.CommitTimeout("no quorum within 800 ms"), 503, "commit_timeout", "unknown"),
    (errors.LeadershipLost("a higher epoch came"), 503, "leadership_lost", "unknown"),
    (errors.ShuttingDown("the node stops"), 503, "shutting_down", "unknown"),
    (errors.InvalidPayload("extraData", "is too long"), 400, "invalid_payload", "refused"),
    (errors.TooLarge("17 MiB"), 413, "too_large", "refused"),
]


@pytest.mark.parametrize("transactions_bytes", [0, 100_000, 3 * 2**20])
async def test_commit_answers_where_the_payload_is(
    gateway: GatewayClient, conductor: FakeConductor, transactions_bytes: int
) -> None:
    document = a_document(transactions=["0x" + "ab" * transactions_bytes])
    reply = await gateway.post("/commit", {"payload": document})
    assert reply.status == 200
    assert reply.document == {"success": True, "height": 1000, "epoch": EPOCH, "index": INDEX}
    assert conductor.committed == [ssz_from_json(as_bytes(document))]


async def test_commit_takes_a_bare_payload_of_the_old_forks(
    gateway: GatewayClient, conductor: FakeConductor
) -> None:
    bare = a_document(version=2)["executionPayload"]
    assert (await gateway.post("/commit", {"payload": bare})).status == 200
    assert conductor.committed == [ssz_from_json(as_bytes(bare))]


async def test_commit_does_not_ask_for_a_content_type(gateway: GatewayClient) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = as_bytes({"payload": a_document()})
    assert (await gateway.post("/commit", body, headers=headers)).status == 200


@pytest.mark.parametrize(("error", "status", "code", "outcome"), FAILURES)
async def test_commit_that_fails_says_what_became_of_the_payload(
    gateway: GatewayClient,
    conductor: FakeConductor,
    error: Exception,
    status: int,
    code: str,
    outcome: str,
) -> None:
    conductor.error = error
    reply = await gateway.post("/commit", {"payload": a_document()})
    assert reply.status == status
    assert reply.document == {
        "success": False,
        "error": str(error),
        "code": code,
        "outcome": outcome,
    }


@pytest.mark.parametrize(
    ("body", "code", "named"),
    [
        (b"", "invalid_argument", "empty"),
        (b"{}", "invalid_payload", "payload: is missing"),
        (b'{"payload": null}', "invalid_payload", "payload"),
        (b'{"payload": 3}', "invalid_payload", "payload"),
        (b'{"payload": {}}', "invalid_payload", "parentHash: is missing"),
        (b'{"payload": NaN}', "invalid_argument", "invalid character"),
        (b"[]", "invalid_argument", "object"),
        (b'{"payload": {}', "invalid_argument", "truncated"),
        (b'{"payload": ' + b'{"a":' * 50_000, "invalid_argument", "deeply"),
        (as_bytes({"payload": a_document(gasUsed=21000)}), "invalid_payload", "gasUsed"),
        (as_bytes({"payload": a_document(gasUsed="0x" + "f" * 17)}), "invalid_payload", "gasUsed"),
        (as_bytes({"payload": a_document(blockHash=None)}), "invalid_payload", "blockHash"),
        (
            as_bytes({"payload": a_document()["executionPayload"]}),
            "invalid_payload",
            "parentBeaconBlockRoot",
        ),
    ],
)
async def test_commit_refuses_what_is_no_payload_by_name(
    gateway: GatewayClient, conductor: FakeConductor, body: bytes, code: str, named: str
) -> None:
    reply = await gateway.post("/commit", body)
    assert reply.status == 400
    document = reply.document
    assert named in document.pop("error")
    assert document == {"success": False, "code": code, "outcome": "refused"}
    assert conductor.committed == []


async def test_commit_over_the_limit_is_refused(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(Limits(json_body_bytes_max=1000))
    reply = await gateway.post("/commit", {"payload": a_document()})
    assert (reply.status, reply.document["code"]) == (413, "too_large")
    assert reply.document["outcome"] == "refused"


async def test_commit_by_a_wrong_method_still_looks_like_a_failed_commit(
    gateway: GatewayClient,
) -> None:
    reply = await gateway.request("PUT", "/commit")
    assert (reply.status, reply.headers["Allow"]) == (405, "POST")
    assert reply.document["success"] is False


@pytest.mark.parametrize("headers", [SSZ_HEADERS, {}])
async def test_ssz_commit_answers_with_nothing(
    gateway: GatewayClient, conductor: FakeConductor, headers: dict[str, str]
) -> None:
    reply = await gateway.post(
        "/commit-unsafe-payload", SSZ, headers=headers, skip_auto_headers=["Content-Type"]
    )
    assert (reply.status, reply.body) == (200, b"")
    assert conductor.committed == [SSZ]


@pytest.mark.parametrize(("error", "status", "code", "outcome"), FAILURES)
async def test_ssz_commit_that_fails_is_500_with_the_text_unless_the_bytes_are_at_fault(
    gateway: GatewayClient,
    conductor: FakeConductor,
    error: Exception,
    status: int,
    code: str,
    outcome: str,
) -> None:
    conductor.error = error
    reply = await gateway.post("/commit-unsafe-payload", SSZ, headers=SSZ_HEADERS)
    assert reply.status == (status if status in (400, 413) else 500)
    assert reply.text == f"{error}\n"
    assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"


async def test_ssz_commit_of_other_content_is_415(gateway: GatewayClient) -> None:
    reply = await gateway.post("/commit-unsafe-payload", SSZ)
    assert reply.status == 415
    assert "application/octet-stream" in reply.text


async def test_ssz_commit_of_nothing_is_400(gateway: GatewayClient) -> None:
    reply = await gateway.post("/commit-unsafe-payload", b"", headers=SSZ_HEADERS)
    assert (reply.status, reply.text) == (400, "payload: is empty\n")


async def test_ssz_commit_by_a_wrong_method_is_405(gateway: GatewayClient) -> None:
    reply = await gateway.get("/commit-unsafe-payload")
    assert (reply.status, reply.headers["Allow"]) == (405, "POST")
    assert reply.text == "method not allowed\n"


async def test_ssz_commit_over_the_limit_is_413(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(Limits(payload_bytes_max=1000))
    reply = await gateway.post("/commit-unsafe-payload", SSZ, headers=SSZ_HEADERS)
    assert reply.status == 413


async def test_own_fault_in_a_commit_is_logged_and_not_shown(
    gateway: GatewayClient, conductor: FakeConductor, logs: list[EventDict]
) -> None:
    conductor.error = errors.InvariantViolation("secret")
    by_json = await gateway.post("/commit", {"payload": a_document()})
    by_ssz = await gateway.post("/commit-unsafe-payload", SSZ, headers=SSZ_HEADERS)
    assert by_json.document == {
        "success": False,
        "error": "internal error",
        "code": "invariant_violation",
        "outcome": "unknown",
    }
    assert (by_ssz.status, by_ssz.text) == (500, "internal error\n")
    assert len(logs) == 2


async def test_follower_names_the_leader(gateway: GatewayClient, conductor: FakeConductor) -> None:
    conductor.error = errors.NotLeader(leader_id="node-2")
    reply = await gateway.post("/commit", {"payload": a_document()})
    assert reply.document["error"] == "node is not the leader: node-2 leads"
