"""JSON-RPC on the wire: what go-ethereum's server does with every kind of request."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import JSON_HEADERS, GatewayClient
from tests.api.fakes import FakeConductor
from tests.payload.builders import a_document, as_bytes

LEADER = {"jsonrpc": "2.0", "id": 1, "method": "conductor_leader", "params": []}
ANSWER = {"jsonrpc": "2.0", "id": 1, "result": True}


def an_error(code: int, message: str, message_id: object = None) -> dict[str, Any]:
    """An error answer."""
    return {"jsonrpc": "2.0", "id": message_id, "error": {"code": code, "message": message}}


PARSE_ERROR = an_error(-32700, "parse error")
INVALID_REQUEST = an_error(-32600, "invalid request")


@pytest.mark.parametrize(
    "message_id", [0, -1, 1.5, 2**70, "", "a", "é", None, True, "x" * 10_000], ids=str
)
async def test_id_comes_back_as_it_was_sent(gateway: GatewayClient, message_id: object) -> None:
    reply = await gateway.post("/", LEADER | {"id": message_id})
    assert reply.document == ANSWER | {"id": message_id}


@pytest.mark.parametrize("raw", [b"1.00", b"12345678901234567890123", b'"\\u0061"', b"1e2"])
async def test_id_is_not_even_written_in_another_way(gateway: GatewayClient, raw: bytes) -> None:
    body = b'{"jsonrpc":"2.0","id":%b,"method":"conductor_leader"}' % raw
    reply = await gateway.post("/", body)
    assert b'"id":%b' % raw in reply.body


@pytest.mark.parametrize("params", [{}, {"params": None}, {"params": []}])
async def test_params_may_be_absent_null_or_empty(
    gateway: GatewayClient, params: dict[str, object]
) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": "conductor_leader", **params}
    assert (await gateway.post("/", request)).document == ANSWER


async def test_unknown_members_are_ignored(gateway: GatewayClient) -> None:
    assert (await gateway.post("/", LEADER | {"extra": {"a": [1]}})).document == ANSWER


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"params": {}}, an_error(-32602, "non-array args", 1)),
        ({"params": "a"}, an_error(-32602, "non-array args", 1)),
        ({"params": [1]}, an_error(-32602, "too many arguments, want at most 0", 1)),
        ({"params": [None]}, an_error(-32602, "too many arguments, want at most 0", 1)),
        ({"params": [1] * 1000}, an_error(-32602, "too many arguments, want at most 0", 1)),
        (
            {"method": "conductor_nothing"},
            an_error(-32601, "the method conductor_nothing does not exist/is not available", 1),
        ),
        (
            {"method": "nothing", "params": {}},
            an_error(-32601, "the method nothing does not exist/is not available", 1),
        ),
        (
            {"method": "x" * 2049},
            an_error(-32600, "method name too long: 2049 > 2048", 1),
        ),
        ({"jsonrpc": "1.0"}, INVALID_REQUEST | {"id": 1}),
        ({"jsonrpc": 2.0}, INVALID_REQUEST | {"id": 1}),
        ({"method": ""}, INVALID_REQUEST | {"id": 1}),
        ({"method": 5}, INVALID_REQUEST | {"id": 1}),
        ({"method": None, "id": "a"}, INVALID_REQUEST | {"id": "a"}),
        ({"id": {}}, INVALID_REQUEST),
        ({"id": [1]}, INVALID_REQUEST),
    ],
)
async def test_bad_request_is_answered_with_200_and_its_id(
    gateway: GatewayClient, change: dict[str, object], expected: dict[str, Any]
) -> None:
    reply = await gateway.post("/", LEADER | change)
    assert (reply.status, reply.document) == (200, expected)
    assert reply.headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", PARSE_ERROR),
        (b"{} {}", PARSE_ERROR),
        (b'{"id": NaN}', PARSE_ERROR),
        (b'{"id": 01}', PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":"\xff","method":"conductor_leader"}', PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', PARSE_ERROR),
        (b'{"params":' + b"[" * 50_000, PARSE_ERROR),
        (b"[" * 50_000, PARSE_ERROR),
        (b"[" + b'{"a":' * 200_000, PARSE_ERROR),
        (b"[1,", PARSE_ERROR),
        (b'[{"jsonrpc":"2.0","id":1,"method":"\xff"}]', PARSE_ERROR),
        (b"\x00", PARSE_ERROR),
        (b"null", INVALID_REQUEST),
        (b"7", INVALID_REQUEST),
        (b'"a"', INVALID_REQUEST),
        (b"{}", INVALID_REQUEST),
        (b"[]", an_error(-32600, "empty batch")),
        (b" [ ] ", an_error(-32600, "empty batch")),
    ],
)
async def test_bad_body_is_answered_with_200_and_no_id(
    gateway: GatewayClient, body: bytes, expected: dict[str, Any]
) -> None:
    reply = await gateway.post("/", body)
    assert (reply.status, reply.document) == (200, expected)


@pytest.mark.parametrize("body", [b"", b" \r\n\t"])
async def test_empty_body_is_answered_with_nothing(gateway: GatewayClient, body: bytes) -> None:
    reply = await gateway.post("/", body)
    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize("method", ["conductor_commitUnsafePayload", "unknown", "x" * 3000])
async def test_notification_is_answered_with_nothing(
    gateway: GatewayClient, conductor: FakeConductor, method: str
) -> None:
    request = {"jsonrpc": "2.0", "method": method, "params": [a_document()]}
    reply = await gateway.post("/", request)
    assert (reply.status, reply.body) == (200, b"")
    assert len(conductor.committed) == (method == "conductor_commitUnsafePayload")


async def test_batch_answers_each_message_in_order(
    gateway: GatewayClient, conductor: FakeConductor
) -> None:
    commit = LEADER | {"method": "conductor_commitUnsafePayload", "params": [a_document()]}
    batch = [
        LEADER | {"id": "a"},
        1,
        None,
        {"jsonrpc": "2.0", "method": "conductor_leader"},
        LEADER | {"id": "b", "method": "nothing"},
        commit | {"id": "c"},
        LEADER | {"id": "d", "jsonrpc": "1.0"},
    ]
    reply = await gateway.post("/", batch)
    assert reply.document == [
        ANSWER | {"id": "a"},
        INVALID_REQUEST,
        INVALID_REQUEST,
        an_error(-32601, "the method nothing does not exist/is not available", "b"),
        {"jsonrpc": "2.0", "id": "c", "result": None},
        INVALID_REQUEST | {"id": "d"},
    ]
    assert len(conductor.committed) == 1


async def test_batch_runs_one_message_after_the_other(
    gateway: GatewayClient, conductor: FakeConductor
) -> None:
    heights = [f"{height:#x}" for height in range(1000, 1020)]
    batch = [
        LEADER
        | {"method": "conductor_commitUnsafePayload", "params": [a_document(blockNumber=height)]}
        for height in heights
    ]
    await gateway.post("/", batch)
    assert [int.from_bytes(ssz[436:444], "little") for ssz in conductor.committed] == [
        int(height, 16) for height in heights
    ]


async def test_batch_of_notifications_is_answered_with_nothing(gateway: GatewayClient) -> None:
    reply = await gateway.post("/", [{"jsonrpc": "2.0", "method": "conductor_leader"}] * 3)
    assert (reply.status, reply.body) == (200, b"")


async def test_batch_of_a_hundred_is_answered(gateway: GatewayClient) -> None:
    assert (await gateway.post("/", [LEADER] * 100)).document == [ANSWER] * 100


@pytest.mark.parametrize("count", [101, 10_000])
async def test_batch_over_the_limit_is_refused_as_one(gateway: GatewayClient, count: int) -> None:
    body = b"[1," + b",".join([as_bytes(LEADER)] * (count - 1)) + b"]"
    reply = await gateway.post("/", body)
    assert reply.document == [an_error(-32600, "batch too large", 1)]


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/json-rpc",
        "application/jsonrequest",
    ],
)
async def test_json_content_types_are_taken(gateway: GatewayClient, content_type: str) -> None:
    reply = await gateway.post("/", LEADER, headers={"Content-Type": content_type})
    assert reply.document == ANSWER


@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream", "json"])
async def test_other_content_types_are_415(gateway: GatewayClient, content_type: str) -> None:
    reply = await gateway.post("/", LEADER, headers={"Content-Type": content_type})
    assert reply.status == 415
    assert reply.text == "invalid content type, only application/json is supported\n"


async def test_absent_content_type_is_415(gateway: GatewayClient) -> None:
    reply = await gateway.request(
        "POST", "/", data=as_bytes(LEADER), skip_auto_headers=["Content-Type"]
    )
    assert reply.status == 415


@pytest.mark.parametrize("method", ["PATCH", "REPORT"])
async def test_other_verbs_are_read_as_posts(gateway: GatewayClient, method: str) -> None:
    reply = await gateway.request(method, "/", data=as_bytes(LEADER), headers=JSON_HEADERS)
    assert (reply.status, reply.document) == (200, ANSWER)


async def test_options_needs_no_content_type_and_no_body(gateway: GatewayClient) -> None:
    reply = await gateway.request("OPTIONS", "/")
    assert (reply.status, reply.body) == (200, b"")
    assert not [name for name in reply.headers if name.lower().startswith("access-control")]


async def test_head_is_415(gateway: GatewayClient) -> None:
    assert (await gateway.request("HEAD", "/")).status == 415


async def test_get_with_a_body_is_read_as_a_post(gateway: GatewayClient) -> None:
    reply = await gateway.request("GET", "/", data=as_bytes(LEADER), headers=JSON_HEADERS)
    assert (reply.status, reply.document) == (200, ANSWER)


@pytest.mark.parametrize("path", ["/rpc", "/conductor_leader", "//"])
async def test_requests_are_taken_at_the_root_alone(gateway: GatewayClient, path: str) -> None:
    assert (await gateway.post(path, LEADER)).status == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_put_and_delete_are_405(gateway: GatewayClient, method: str) -> None:
    reply = await gateway.request(method, "/", data=as_bytes(LEADER))
    assert (reply.status, reply.text) == (405, "method not allowed\n")


async def test_get_of_nothing_is_an_empty_200(gateway: GatewayClient) -> None:
    reply = await gateway.get("/")
    assert (reply.status, reply.body) == (200, b"")


async def test_get_with_a_query_is_415(gateway: GatewayClient) -> None:
    assert (await gateway.get("/?method=conductor_leader")).status == 415
