"""Those who watch the leadership over gRPC, and those who ask for its history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from conductor import errors
from conductor.api.grpc_service import WATCHERS_MAX
from conductor.v1 import conductor_pb2
from tests.api.fakes import EPOCH, FakeConductor
from tests.api.grpc_kit import DEADLINE_S, Client, LivelyConductor, failed, next_of, serving


@pytest.fixture
async def conductor() -> LivelyConductor:
    """Instead of the one that never changes."""
    return LivelyConductor()


@pytest.fixture
async def client(conductor: LivelyConductor) -> AsyncIterator[Client]:
    async with serving(conductor) as client:
        yield client


def watch(client: Client) -> Any:
    """A stream of what changes."""
    return client.conductor.WatchEpochs(conductor_pb2.WatchEpochsRequest())


def told(leader_id: str, epoch: int, reason: str = "") -> conductor_pb2.WatchEpochsResponse:
    """What a watcher is told by `node-1`."""
    return conductor_pb2.WatchEpochsResponse(
        epoch=epoch,
        leader_id=leader_id,
        is_leader=leader_id == "node-1" and epoch == EPOCH,
        reason=reason,
    )


async def test_history_is_told_oldest_first(client: Client) -> None:
    answer = await client.conductor.GetHistory(conductor_pb2.GetHistoryRequest())
    assert answer == conductor_pb2.GetHistoryResponse(
        records=[
            conductor_pb2.LeadershipRecord(
                leader_id="node-2",
                epoch=EPOCH - 1,
                reason="is the first fit voter, and nobody leads",
                began_at_ms=1_000,
            ),
            conductor_pb2.LeadershipRecord(
                leader_id="node-1",
                epoch=EPOCH,
                reason="transfer: an operator asked",
                began_at_ms=2_000,
            ),
        ]
    )


async def test_watcher_is_told_how_it_is_and_then_every_change_with_its_reason(
    conductor: LivelyConductor, client: Client
) -> None:
    conductor.lead("node-2", EPOCH - 1, "was named")
    call = watch(client)
    assert await next_of(call) == told("node-2", EPOCH - 1)
    conductor.lead("node-1", EPOCH, "transfer")
    assert await next_of(call) == told("node-1", EPOCH, "transfer")
    conductor.lead("node-3", EPOCH + 1, "node-1 died")
    assert await next_of(call) == told("node-3", EPOCH + 1, "node-1 died")


async def test_epoch_is_the_highest_promised_one_while_nobody_leads(
    conductor: LivelyConductor, client: Client
) -> None:
    call = watch(client)
    assert await next_of(call) == told("", EPOCH)
    conductor.lead("", EPOCH - 1, "node-2 is not heard any more")
    assert await next_of(call) == told("", EPOCH, "node-2 is not heard any more")


async def test_override_is_no_change_of_the_leadership(
    conductor: LivelyConductor, client: Client
) -> None:
    await conductor.override_leader(True)
    conductor.lead("node-2", EPOCH + 1, "was named")
    assert await next_of(watch(client)) == told("node-2", EPOCH + 1)


async def test_watchers_end_well_when_the_node_stops(
    conductor: LivelyConductor, client: Client
) -> None:
    calls = [watch(client) for _ in range(3)]
    for call in calls:
        await next_of(call)
    conductor.lead("node-2", EPOCH + 1, "node-1 stops")
    conductor.past.end()
    for call in calls:
        assert await next_of(call) == told("node-2", EPOCH + 1, "node-1 stops")
        assert await next_of(call) is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
    async with asyncio.timeout(DEADLINE_S):
        await client.server.stop(grace=10 * DEADLINE_S)  # As long as open calls would take it.


async def test_there_are_only_so_many_watchers_and_those_who_leave_make_room(
    conductor: LivelyConductor, client: Client
) -> None:
    calls = [watch(client) for _ in range(WATCHERS_MAX)]
    for call in calls:
        await next_of(call)
    failure = await failed(next_of(watch(client)))
    assert (failure.status, failure.reason) == ("RESOURCE_EXHAUSTED", "overloaded")

    calls.pop().cancel()

    async def found_room() -> bool:
        call = watch(client)
        try:
            await next_of(call)
        except grpc.aio.AioRpcError:
            return False
        calls.append(call)
        return True

    async with asyncio.timeout(DEADLINE_S):
        while not await found_room():
            pass
    conductor.lead("node-2", EPOCH + 1, "for all")
    for call in calls:
        assert await next_of(call) == told("node-2", EPOCH + 1, "for all")


async def test_watch_that_fails_says_why() -> None:
    conductor = FakeConductor()
    conductor.error = errors.ShuttingDown("the node stops")
    async with serving(conductor) as client:
        failure = await failed(next_of(watch(client)))
    assert (failure.status, failure.reason) == ("UNAVAILABLE", "shutting_down")
