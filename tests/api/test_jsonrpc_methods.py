"""The JSON-RPC methods: results and error texts as clients of the Go op-conductor know them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from structlog.typing import EventDict

from conductor import errors
from conductor.core.values import Epoch
from conductor.payload import ssz_from_json
from conductor.service import LeaderView
from tests.api.conftest import GatewayClient
from tests.api.fakes import VERSION, FakeConductor
from tests.payload.builders import a_document, as_bytes

COMMIT = "conductor_commitUnsafePayload"


@pytest.mark.parametrize("leads", [True, False])
async def test_leader(gateway: GatewayClient, conductor: FakeConductor, leads: bool) -> None:
    conductor.leader_view = replace(conductor.leader_view, is_leader=leads)
    assert await gateway.call("conductor_leader") == {"result": leads}


async def test_leader_with_id_has_the_grpc_address(
    gateway: GatewayClient, conductor: FakeConductor
) -> None:
    conductor.leader_view = replace(conductor.leader_view, is_leader=False, leader_id="node-2")
    answer = await gateway.call("conductor_leaderWithID")
    assert answer == {"result": {"id": "node-2", "addr": "10.0.0.2:18080", "suffrage": 0}}


@pytest.mark.parametrize("formed", [True, False])
async def test_leader_with_id_is_empty_while_nobody_leads(
    gateway: GatewayClient, conductor: FakeConductor, formed: bool
) -> None:
    conductor.formed = formed
    conductor.leader_view = LeaderView(False, Epoch(0), "", "", 0)
    answer = await gateway.call("conductor_leaderWithID")
    assert answer == {"result": {"id": "", "addr": "", "suffrage": 0}}


async def test_cluster_membership_lists_every_server(gateway: GatewayClient) -> None:
    servers = [
        {"id": f"node-{number}", "addr": f"10.0.0.{number}:18080", "suffrage": 0}
        for number in (1, 2, 3)
    ]
    answer = await gateway.call("conductor_clusterMembership")
    assert answer == {"result": {"servers": servers, "version": 0}}


async def test_cluster_membership_is_null_before_the_cluster_has_formed(
    gateway: GatewayClient, conductor: FakeConductor
) -> None:
    conductor.formed = False
    answer = await gateway.call("conductor_clusterMembership")
    assert answer == {"result": {"servers": None, "version": 0}}


@pytest.mark.parametrize("value", [True, False])
async def test_active_and_healthy_are_plain_booleans(
    gateway: GatewayClient, conductor: FakeConductor, value: bool
) -> None:
    conductor.active = conductor.sequencer_healthy = value
    assert await gateway.call("conductor_active") == {"result": value}
    assert await gateway.call("conductor_sequencerHealthy") == {"result": value}


async def test_health_status_is_the_version(gateway: GatewayClient) -> None:
    assert await gateway.call("health_status") == {"result": VERSION}


async def test_rpc_modules_names_what_is_served(gateway: GatewayClient) -> None:
    answer = await gateway.call("rpc_modules")
    assert answer == {"result": {"conductor": "1.0", "health": "1.0", "rpc": "1.0"}}


@pytest.mark.parametrize("transactions_bytes", [0, 100_000, 3 * 2**20])
async def test_commit_answers_null_and_no_error_member(
    gateway: GatewayClient, conductor: FakeConductor, transactions_bytes: int
) -> None:
    document = a_document(transactions=["0x" + "ab" * transactions_bytes])
    assert await gateway.call(COMMIT, document) == {"result": None}
    assert conductor.committed == [ssz_from_json(as_bytes(document))]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.NotLeader(), "node is not the leader"),
        (errors.NotLeader(leader_id="node-2"), "node is not the leader: node-2 leads"),
        (errors.NotLeader("no epoch yet"), "node is not the leader: no epoch yet"),
        (
            errors.LeadershipLost("leadership lost while committing log: a higher epoch"),
            "leadership lost while committing log: a higher epoch",
        ),
        (errors.LeadershipLost("a peer"), "leadership lost while committing log: a peer"),
        (errors.Overloaded("64 wait"), "timed out enqueuing operation: 64 wait"),
        (errors.ShuttingDown("the node stops"), "raft is already shutdown: the node stops"),
        (errors.CommitTimeout("no quorum in 800 ms"), "no quorum in 800 ms"),
        (errors.Conflict("expected block 5"), "expected block 5"),
        (errors.NotFormed("node-3 is missing"), "node-3 is missing"),
    ],
)
async def test_commit_that_fails_begins_with_the_known_text(
    gateway: GatewayClient, conductor: FakeConductor, error: Exception, text: str
) -> None:
    conductor.error = error
    answer = await gateway.call(COMMIT, a_document())
    message = f"failed to apply payload envelope: {text}"
    assert answer == {"error": {"code": -32000, "message": message}}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([], "missing value for required argument 0"),
        ([None], "missing value for required argument 0"),
        ([a_document(), 1], "too many arguments, want at most 1"),
        ([{}], "invalid argument 0: parentHash: is missing"),
        ([7], "invalid argument 0: payload: Expected `object`, got `int`"),
        (
            [a_document(gasUsed=21000)],
            "invalid argument 0: gasUsed: Expected `str | null`, got `int`",
        ),
    ],
)
async def test_commit_names_the_argument_that_is_wrong(
    gateway: GatewayClient, conductor: FakeConductor, params: list[Any], message: str
) -> None:
    answer = await gateway.call(COMMIT, *params)
    assert answer == {"error": {"code": -32602, "message": message}}
    assert conductor.committed == []


async def test_own_fault_is_logged_and_not_shown(
    gateway: GatewayClient, conductor: FakeConductor, logs: list[EventDict]
) -> None:
    conductor.error = ZeroDivisionError("secret")
    answer = await gateway.call(COMMIT, a_document())
    assert answer == {"error": {"code": -32603, "message": "method handler crashed"}}
    assert [(line["call"], line["exc_info"]) for line in logs] == [(COMMIT, conductor.error)]
