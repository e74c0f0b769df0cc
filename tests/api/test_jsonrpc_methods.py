"""The JSON-RPC methods: results and error texts as clients of the Go op-conductor know them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.message import Message
from structlog.typing import EventDict

from conductor import errors
from conductor.api.grpc_messages import certificate_response, status_response
from conductor.core.values import Epoch
from conductor.payload import ssz_from_json
from conductor.service import LeaderView
from tests.api.conftest import GatewayClient
from tests.api.fakes import EPOCH, GENESIS, INDEX, VERSION, FakeConductor
from tests.payload.builders import a_document, as_bytes

COMMIT = "conductor_commitUnsafePayload"


@pytest.mark.parametrize(
    ("leads", "overridden", "result"),
    [(True, False, True), (False, False, False), (False, True, True), (True, True, True)],
)
async def test_leader_is_who_leads_or_is_made_to_say_so(
    gateway: GatewayClient, conductor: FakeConductor, leads: bool, overridden: bool, result: bool
) -> None:
    conductor.leader_view = replace(
        conductor.leader_view, is_leader=leads, is_overridden=overridden
    )
    assert await gateway.call("conductor_leader") == {"result": result}
    assert await gateway.call("conductor_leaderOverridden") == {"result": overridden}


async def test_leader_with_id_names_nobody_while_overridden(
    gateway: GatewayClient, conductor: FakeConductor
) -> None:
    conductor.leader_view = replace(conductor.leader_view, is_overridden=True)
    answer = await gateway.call("conductor_leaderWithID")
    assert answer == {"result": {"id": "N/A (Leader overridden)", "addr": "N/A", "suffrage": 0}}


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
    conductor.leader_view = LeaderView(False, False, Epoch(0), "", "", 0)
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


@pytest.mark.parametrize("state", ["active", "sequencer_healthy", "paused", "stopped"])
async def test_states_are_plain_booleans(
    gateway: GatewayClient, conductor: FakeConductor, state: str
) -> None:
    conductor.active = state == "active"
    conductor.sequencer_healthy = state == "sequencer_healthy"
    conductor.paused = state == "paused"
    conductor.stops = int(state == "stopped")
    for method, own_state in (
        ("conductor_active", "active"),
        ("conductor_sequencerHealthy", "sequencer_healthy"),
        ("conductor_paused", "paused"),
        ("conductor_stopped", "stopped"),
    ):
        assert await gateway.call(method) == {"result": state == own_state}


async def test_epoch_is_a_number(gateway: GatewayClient) -> None:
    assert await gateway.call("conductor_epoch") == {"result": EPOCH}


async def test_status_tells_what_grpc_tells(
    gateway: GatewayClient, conductor: FakeConductor
) -> None:
    """Each name once, whatever is nested: `member` is the one that JSON-RPC does without."""
    conductor.paused = True
    answer = await gateway.call("conductor_status")
    message = status_response(conductor.status())
    assert names_in(answer["result"]) == fields_of(message) - {"member"}
    assert answer["result"]["paused"] is True
    assert answer["result"]["cluster_id"] == GENESIS.cluster_id.hex()
    assert answer["result"]["certified"] == {"index": INDEX, "epoch": EPOCH, "digest": "03" * 32}
    assert answer["result"]["members"][2] == {
        "server_id": "node-3",
        "incarnation": f"{3:032x}",
        "public_key": "03" * 32,
        "grpc_address": "10.0.0.3:18080",
        "gateway_address": "10.0.0.3:8080",
        "voter": True,
        "role": "follower",
        "reachable": True,
        "serving": False,
        "match_index": 43,
    }


async def test_certificate_tells_what_grpc_tells(
    gateway: GatewayClient, conductor: FakeConductor
) -> None:
    answer = await gateway.call("conductor_certificate")
    assert names_in(answer["result"]) == fields_of(certificate_response(conductor.certificate()))
    certificate = answer["result"]["certificate"]
    assert (certificate["kind"], certificate["body_hash"]) == (1, "02" * 32)
    assert certificate["acknowledgements"][1]["signature"] == "cd" * 64


def names_in(document: Any) -> set[str]:
    """Every name in a document, however deep."""
    if isinstance(document, list):
        return {name for one in document for name in names_in(one)}
    if isinstance(document, dict):
        return set(document).union(*(names_in(one) for one in document.values()))
    return set()


def fields_of(message: Message) -> set[str]:
    """Every field that a message of this type may have, however deep."""
    found: set[str] = set()
    types = [message.DESCRIPTOR]
    for descriptor in types:
        found |= set(descriptor.fields_by_name)
        types += [
            field.message_type
            for field in descriptor.fields
            if field.message_type is not None and field.message_type not in types
        ]
    return found


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
