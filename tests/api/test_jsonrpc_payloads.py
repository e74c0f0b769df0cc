"""Payloads over JSON-RPC: read, proved to be certified, and acknowledged."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from conductor import errors
from conductor.api import jsonrpc
from conductor.api.bounds import Bounds
from conductor.payload import encode, ssz_from_json
from tests.api.conftest import GatewayClient, StartGateway
from tests.api.fakes import FakeConductor, an_acknowledgement
from tests.payload.builders import a_document, an_envelope, as_bytes

LATEST = "conductor_latestUnsafePayload"
BY_HEIGHT = "conductor_payloadByHeight"
ACKNOWLEDGE = "conductor_acknowledge"


def a_request(message_id: int, method: str, *params: object) -> dict[str, Any]:
    """A JSON-RPC request."""
    return {"jsonrpc": "2.0", "id": message_id, "method": method, "params": params}


def an_error(code: int, message: str) -> dict[str, Any]:
    """The answer to a call that failed."""
    return {"error": {"code": code, "message": message}}


@pytest.mark.parametrize("version", [1, 2, 3, 4])
async def test_payload_comes_back_as_the_envelope_that_op_node_sent(
    gateway: GatewayClient, conductor: FakeConductor, version: int
) -> None:
    document = a_document(version)
    conductor.payloads[1000] = ssz_from_json(as_bytes(document))
    assert await gateway.call(LATEST) == {"result": document}
    assert await gateway.call(BY_HEIGHT, 1000) == {"result": document}


@pytest.mark.parametrize(
    ("params", "consistent"), [([], False), ([None], False), ([False], False), ([True], True)]
)
async def test_latest_is_consistent_when_asked(
    gateway: GatewayClient, conductor: FakeConductor, params: list[Any], consistent: bool
) -> None:
    conductor.payloads[1000] = encode(an_envelope())
    assert "result" in await gateway.call(LATEST, *params)
    assert conductor.consistent_reads == [consistent]


@pytest.mark.parametrize(
    ("method", "params", "message"),
    [
        (LATEST, ["true"], "invalid argument 0: Expected `bool`, got `str`"),
        (LATEST, [True, 1], "too many arguments, want at most 1"),
        (BY_HEIGHT, [], "missing value for required argument 0"),
        (BY_HEIGHT, ["0x3e8"], "invalid argument 0: Expected `int`, got `str`"),
        (BY_HEIGHT, [1000.5], "invalid argument 0: Expected `int`, got `float`"),
        (BY_HEIGHT, [-1], "invalid argument 0: is not between 0 and 2^64 - 1"),
        (BY_HEIGHT, [2**64], "invalid argument 0: is not between 0 and 2^64 - 1"),
        (ACKNOWLEDGE, [], "missing value for required argument 0"),
        (
            ACKNOWLEDGE,
            [{}],
            "invalid argument 0: Object missing required field `server_id`",
        ),
        (ACKNOWLEDGE, ["a"], "invalid argument 0: Expected `object`, got `str`"),
    ],
)
async def test_argument_that_is_wrong_is_named(
    gateway: GatewayClient, method: str, params: list[Any], message: str
) -> None:
    assert await gateway.call(method, *params) == an_error(-32602, message)


async def test_read_of_what_is_not_held_is_an_error(gateway: GatewayClient) -> None:
    assert await gateway.call(BY_HEIGHT, 2**64 - 1) == an_error(
        -32000, f"no certified payload of height {2**64 - 1} is held"
    )


@pytest.mark.parametrize(
    ("method", "params"),
    [(LATEST, [True]), (BY_HEIGHT, [1000]), ("conductor_certificate", [])],
)
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.NotLeader(leader_id="node-2"), "node is not the leader: node-2 leads"),
        (errors.CommitTimeout("no quorum"), "no quorum"),
        (errors.NotFormed("node-3 is missing"), "node-3 is missing"),
    ],
)
async def test_read_that_fails_says_how(
    gateway: GatewayClient,
    conductor: FakeConductor,
    method: str,
    params: list[Any],
    error: Exception,
    message: str,
) -> None:
    conductor.error = error
    assert await gateway.call(method, *params) == an_error(-32000, message)


async def test_acknowledgement_reaches_the_conductor(
    gateway: GatewayClient, conductor: FakeConductor
) -> None:
    word = an_acknowledgement()
    document = {
        "server_id": word.member.server_id,
        "incarnation": word.member.incarnation,
        "epoch": word.epoch,
        "index": word.index,
        "digest": "0x" + word.digest.hex(),
        "signature": word.signature.hex(),
    }
    answer = await gateway.call(ACKNOWLEDGE, document)
    assert answer == {"result": {"certified": True, "height": 1000}}
    assert conductor.acknowledged == [word]


async def test_acknowledgement_in_a_certificate_can_be_handed_on(
    gateway: GatewayClient, conductor: FakeConductor
) -> None:
    certificate = (await gateway.call("conductor_certificate"))["result"]["certificate"]
    for document in certificate["acknowledgements"]:
        assert "result" in await gateway.call(ACKNOWLEDGE, document)
    assert conductor.acknowledged == [an_acknowledgement(1), an_acknowledgement(2)]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.Unauthenticated("node-9 is not a member"), "node-9 is not a member"),
        (errors.Stale("the epoch has passed"), "the epoch has passed"),
        (errors.NotLeader(), "node is not the leader"),
    ],
)
async def test_acknowledgement_that_does_not_count_says_why(
    gateway: GatewayClient, conductor: FakeConductor, error: Exception, message: str
) -> None:
    certificate = (await gateway.call("conductor_certificate"))["result"]["certificate"]
    conductor.error = error
    answer = await gateway.call(ACKNOWLEDGE, certificate["acknowledgements"][0])
    assert answer == an_error(-32000, message)


async def test_payloads_are_read_a_few_at_a_time_on_whichever_path(
    start_gateway: StartGateway, conductor: FakeConductor
) -> None:
    gateway = await start_gateway(bounds=Bounds(payload_reads_max=2))
    conductor.payloads[1000] = encode(an_envelope())
    conductor.read_may_end = asyncio.Event()
    calls = [asyncio.create_task(gateway.call(LATEST)) for _ in range(4)]
    reads = [asyncio.create_task(gateway.get("/latest")) for _ in range(2)]
    await conductor.read_started.wait()
    for _ in range(10):
        await gateway.get("/leader")
    conductor.read_may_end.set()
    assert all(["result" in await call for call in calls])
    assert [(await read).status for read in reads] == [200, 200]
    assert conductor.reads_at_once_max == 2


async def test_batch_stops_where_its_answers_have_become_too_large(
    gateway: GatewayClient, conductor: FakeConductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows is not even carried out; go-ethereum answers so, too."""
    monkeypatch.setattr(jsonrpc, "BATCH_ANSWER_BYTES_MAX", 5000)
    conductor.payloads[1000] = encode(an_envelope(transactions=(bytes(2000),)))
    commit = a_request(3, "conductor_commitUnsafePayload", a_document())
    notification = {name: value for name, value in commit.items() if name != "id"}
    reply = await gateway.post("/", [a_request(1, LATEST), notification, commit])
    first, second = reply.document
    assert (first["id"], "result" in first) == (1, True)
    assert second == {"jsonrpc": "2.0", "id": 3, **an_error(-32003, "response too large")}
    assert conductor.committed == []


async def test_large_answers_of_a_batch_count_as_memory_and_spoil_no_small_ones(
    start_gateway: StartGateway, conductor: FakeConductor
) -> None:
    gateway = await start_gateway(bounds=Bounds(memory_bytes_max=300_000))
    conductor.payloads[1000] = encode(an_envelope(transactions=(bytes(70_000),)))
    commit = a_request(4, "conductor_commitUnsafePayload", a_document())
    reply = await gateway.post("/", [a_request(number, LATEST) for number in (1, 2, 3)] + [commit])
    answers = reply.document
    assert ["result" in answer for answer in answers] == [True, True, False, True]
    assert answers[2]["error"] == {
        "code": -32000,
        "message": "other requests fill the memory there is for large ones",
    }
    assert len(conductor.committed) == 1
    assert "result" in await gateway.call(LATEST)
