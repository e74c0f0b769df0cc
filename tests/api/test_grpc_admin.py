"""What operators tell a node over gRPC: each answer says how it was before, or what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from conductor import errors
from conductor.core.values import ServerId
from conductor.service import TransferReceipt
from conductor.v1 import admin_pb2, conductor_pb2
from tests.api.fakes import EPOCH, FakeConductor
from tests.api.grpc_kit import DEADLINE_S, Client, failed, serving


class SlowToTransfer(FakeConductor):
    """Passes the leadership on when a test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()
        self.done = asyncio.Event()

    async def transfer(self, target: ServerId | None, *, force: bool = False) -> TransferReceipt:
        self.began.set()
        await self.go_on.wait()
        receipt = await super().transfer(target, force=force)
        self.done.set()
        return receipt


@pytest.fixture
async def client(conductor: FakeConductor) -> AsyncIterator[Client]:
    async with serving(conductor) as client:
        yield client


async def test_pause_and_resume_say_whether_the_node_was_paused(
    conductor: FakeConductor, client: Client
) -> None:
    said = [
        (await client.admin.Pause(admin_pb2.PauseRequest())).was_paused,
        (await client.admin.Pause(admin_pb2.PauseRequest())).was_paused,
    ]
    assert conductor.paused
    assert (await client.conductor.GetStatus(conductor_pb2.GetStatusRequest())).paused
    said.append((await client.admin.Resume(admin_pb2.ResumeRequest())).was_paused)
    said.append((await client.admin.Resume(admin_pb2.ResumeRequest())).was_paused)
    assert not conductor.paused
    assert said == [False, True, True, False]


async def test_stop_is_answered(conductor: FakeConductor, client: Client) -> None:
    assert await client.admin.Stop(admin_pb2.StopRequest()) == admin_pb2.StopResponse()
    assert conductor.stops == 1


async def test_override_makes_a_follower_say_that_it_leads_until_it_ends(
    conductor: FakeConductor, client: Client
) -> None:
    conductor.leader_view = replace(conductor.leader_view, is_leader=False, leader_id="node-2")
    conductor.health_view = replace(conductor.health_view, is_leader=False, leader_id="node-2")

    async def says_that_it_leads() -> tuple[bool, bool]:
        leader = await client.conductor.GetLeader(conductor_pb2.GetLeaderRequest())
        status = await client.conductor.GetStatus(conductor_pb2.GetStatusRequest())
        assert leader.leader_id == status.leader_id == "node-2"
        assert leader.is_leader == status.is_leader
        return leader.is_leader, status.leader_overridden

    assert await says_that_it_leads() == (False, False)
    was = [(await client.admin.OverrideLeader(override(True))).was_overridden]
    assert await says_that_it_leads() == (True, True)
    was.append((await client.admin.OverrideLeader(override(True))).was_overridden)
    was.append((await client.admin.OverrideLeader(override(False))).was_overridden)
    assert await says_that_it_leads() == (False, False)
    assert was == [False, True, True]


def override(overridden: bool) -> admin_pb2.OverrideLeaderRequest:
    return admin_pb2.OverrideLeaderRequest(overridden=overridden)


@pytest.mark.parametrize(
    ("server_id", "force", "asked"),
    [
        ("", False, (None, False)),
        ("node-3", False, ("node-3", False)),
        ("127.0.0.1:8081", True, ("127.0.0.1:8081", True)),
        ("é" * 128, False, ("é" * 128, False)),
    ],
)
async def test_transfer_says_who_led_and_who_leads(
    conductor: FakeConductor,
    client: Client,
    server_id: str,
    force: bool,
    asked: tuple[str | None, bool],
) -> None:
    request = admin_pb2.TransferLeaderRequest(server_id=server_id, force=force)
    answer = await client.admin.TransferLeader(request)
    assert answer == admin_pb2.TransferLeaderResponse(
        previous_leader_id="node-1", leader_id=server_id or "node-2", epoch=EPOCH + 1
    )
    assert conductor.transfers == [asked]


@pytest.mark.parametrize("server_id", [" ", "a b", "a,b", "a\n", "\0", "\u202e", "x" * 257])
async def test_what_can_be_no_servers_name_is_refused_at_once(
    conductor: FakeConductor, client: Client, server_id: str
) -> None:
    request = admin_pb2.TransferLeaderRequest(server_id=server_id)
    failure = await failed(client.admin.TransferLeader(request))
    assert (failure.status, failure.reason) == ("INVALID_ARGUMENT", "invalid_argument")
    assert failure.text.startswith("server_id: ")
    assert conductor.transfers == []


@pytest.mark.parametrize(
    ("error", "status", "reason", "outcome"),
    [
        (errors.NotLeader(), "FAILED_PRECONDITION", "not_leader", "refused"),
        (errors.TransferRefused("no"), "FAILED_PRECONDITION", "transfer_refused", "refused"),
        (errors.NotFormed("node-3"), "UNAVAILABLE", "not_formed", "refused"),
        (errors.LeadershipLost("gone"), "ABORTED", "leadership_lost", "unknown"),
        (errors.OutcomeUnknown("late"), "UNKNOWN", "outcome_unknown", "unknown"),
    ],
)
async def test_transfer_that_fails_says_what_became_of_the_leadership(
    conductor: FakeConductor,
    client: Client,
    error: Exception,
    status: str,
    reason: str,
    outcome: str,
) -> None:
    conductor.error = error
    failure = await failed(client.admin.TransferLeader(admin_pb2.TransferLeaderRequest()))
    assert (failure.status, failure.text, failure.reason) == (status, str(error), reason)
    assert failure.metadata == {"outcome": outcome}


async def test_transfer_on_a_follower_names_the_leader(
    conductor: FakeConductor, client: Client
) -> None:
    conductor.error = errors.NotLeader(leader_id="node-2")
    failure = await failed(client.admin.TransferLeader(admin_pb2.TransferLeaderRequest()))
    assert failure.text == "node is not the leader: node-2 leads"
    assert failure.metadata == {"outcome": "refused", "leader_id": "node-2"}


async def test_transfer_outlives_the_deadline_of_its_client() -> None:
    conductor = SlowToTransfer()
    async with serving(conductor) as client, asyncio.timeout(DEADLINE_S):
        request = admin_pb2.TransferLeaderRequest(server_id="node-3")
        call = client.admin.TransferLeader(request, timeout=0.5)
        await conductor.began.wait()
        assert (await call.code()).name == "DEADLINE_EXCEEDED"
        conductor.go_on.set()
        await conductor.done.wait()
    assert conductor.transfers == [("node-3", False)]
