"""The JSON-RPC methods of operators: what they ask for, what they answer, how they refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from conductor import errors
from tests.api.conftest import GatewayClient
from tests.api.fakes import FakeConductor

NULL = {"result": None}
TRANSFER = "conductor_transferLeader"
TRANSFER_TO = "conductor_transferLeaderToServer"


def an_error(message: str, code: int = -32000) -> dict[str, Any]:
    """The answer to a call that failed."""
    return {"error": {"code": code, "message": message}}


def follow(conductor: FakeConductor) -> None:
    """Have node-2 lead instead."""
    conductor.leader_view = replace(conductor.leader_view, is_leader=False, leader_id="node-2")


async def test_pause_and_resume_answer_null_however_often_they_are_asked(
    gateway: GatewayClient, conductor: FakeConductor
) -> None:
    for method, paused in (("conductor_pause", True), ("conductor_resume", False)):
        for _ in range(2):
            assert await gateway.call(method) == NULL
            assert conductor.paused is paused


async def test_stop_is_answered_before_anything_ends(
    gateway: GatewayClient, conductor: FakeConductor
) -> None:
    assert await gateway.call("conductor_stop") == NULL
    assert conductor.stops == 1


@pytest.mark.parametrize(
    ("params", "overridden"), [([True], True), ([False], False), ([], True), ([None], True)]
)
async def test_override_takes_a_boolean_and_means_true_without_one(
    gateway: GatewayClient, conductor: FakeConductor, params: list[Any], overridden: bool
) -> None:
    conductor.leader_view = replace(conductor.leader_view, is_overridden=not overridden)
    assert await gateway.call("conductor_overrideLeader", *params) == NULL
    assert conductor.leader_view.is_overridden is overridden


async def test_override_means_true_without_params_at_all(
    gateway: GatewayClient, conductor: FakeConductor
) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": "conductor_overrideLeader"}
    assert (await gateway.post("/", request)).document["result"] is None
    assert conductor.leader_view.is_overridden


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (["true"], "invalid argument 0: Expected `bool`, got `str`"),
        ([1], "invalid argument 0: Expected `bool`, got `int`"),
        ([True, True], "too many arguments, want at most 1"),
        ([1, True], "invalid argument 0: Expected `bool`, got `int`"),
    ],
)
async def test_override_names_the_argument_that_is_wrong(
    gateway: GatewayClient, conductor: FakeConductor, params: list[Any], message: str
) -> None:
    answer = await gateway.call("conductor_overrideLeader", *params)
    assert answer == an_error(message, -32602)
    assert not conductor.leader_view.is_overridden


async def test_transfer_passes_the_leadership_to_anyone(
    gateway: GatewayClient, conductor: FakeConductor
) -> None:
    assert await gateway.call(TRANSFER) == NULL
    assert conductor.transfers == [(None, False)]


async def test_transfer_on_a_node_that_does_not_lead_is_null(
    gateway: GatewayClient, conductor: FakeConductor
) -> None:
    conductor.error = errors.NotLeader(leader_id="node-2")
    assert await gateway.call(TRANSFER) == NULL


@pytest.mark.parametrize("method", [TRANSFER, TRANSFER_TO])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.TransferRefused("leadership transfer in progress"), None),
        (errors.TransferRefused("cannot transfer leadership to itself"), None),
        (errors.TransferRefused("cannot find replication state for node-9"), None),
        (errors.OutcomeUnknown("leadership transfer timeout"), None),
        (errors.NotFormed("node-3 is missing"), None),
        (errors.ShuttingDown("the node stops"), None),
        (errors.TransferRefused(), "transfer_refused"),
    ],
)
async def test_transfer_that_fails_says_why(
    gateway: GatewayClient,
    conductor: FakeConductor,
    method: str,
    error: Exception,
    message: str | None,
) -> None:
    conductor.error = error
    params = ["node-2", ""] if method == TRANSFER_TO else []
    assert await gateway.call(method, *params) == an_error(message or str(error))


@pytest.mark.parametrize("address", ["10.0.0.2:18080", "10.0.0.2:8080", ""])
async def test_transfer_to_a_server_takes_its_addresses_or_none(
    gateway: GatewayClient, conductor: FakeConductor, address: str
) -> None:
    assert await gateway.call(TRANSFER_TO, "node-2", address) == NULL
    assert conductor.transfers == [("node-2", False)]


async def test_transfer_to_a_server_elsewhere_is_refused(
    gateway: GatewayClient, conductor: FakeConductor
) -> None:
    answer = await gateway.call(TRANSFER_TO, "node-2", "10.0.0.3:18080")
    assert answer == an_error(
        "node-2 is at 10.0.0.2:18080, not at 10.0.0.3:18080: see conductor_clusterMembership"
    )
    assert conductor.transfers == []


@pytest.mark.parametrize("address", ["10.0.0.3:18080", "10.0.0.9:1"])
async def test_transfer_by_a_node_that_does_not_lead_says_so_before_anything_else(
    gateway: GatewayClient, conductor: FakeConductor, address: str
) -> None:
    follow(conductor)
    conductor.error = errors.NotLeader(leader_id="node-2")
    answer = await gateway.call(TRANSFER_TO, "node-3", address)
    assert answer == an_error("node is not the leader: node-2 leads")


@pytest.mark.parametrize("formed", [True, False])
@pytest.mark.parametrize("server_id", ["node-1", "node-9", ""])
async def test_transfer_to_itself_or_a_stranger_is_judged_whatever_the_address(
    gateway: GatewayClient, conductor: FakeConductor, server_id: str, formed: bool
) -> None:
    conductor.formed = formed
    await gateway.call(TRANSFER_TO, server_id, "10.0.0.9:1")
    assert conductor.transfers == [(server_id, False)]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([], "missing value for required argument 0"),
        (["node-2"], "missing value for required argument 1"),
        (["node-2", None], "missing value for required argument 1"),
        ([2, ""], "invalid argument 0: Expected `str`, got `int`"),
        (["node-2", 0], "invalid argument 1: Expected `str`, got `int`"),
        (["node-2", "", 0], "too many arguments, want at most 2"),
        (["n" * 513, ""], "invalid argument 0: has more than 512 bytes"),
    ],
)
async def test_transfer_to_a_server_names_the_argument_that_is_wrong(
    gateway: GatewayClient, conductor: FakeConductor, params: list[Any], message: str
) -> None:
    assert await gateway.call(TRANSFER_TO, *params) == an_error(message, -32602)
    assert conductor.transfers == []


@pytest.mark.parametrize(
    "method", ["conductor_pause", "conductor_resume", "conductor_stop", "conductor_overrideLeader"]
)
async def test_own_fault_is_not_shown(
    gateway: GatewayClient, conductor: FakeConductor, logs: list[Any], method: str
) -> None:
    conductor.error = ZeroDivisionError("secret")
    assert await gateway.call(method) == an_error("method handler crashed", -32603)
    assert [line["call"] for line in logs] == [method]
