"""What an epoch manager gets to see of who is to lead first, and of who leads."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from conductor.config import Config
from conductor.core.values import ServerId
from conductor.errors import ShuttingDown
from conductor.identity import verify_signature
from conductor.ports import Designation, MemberObservation, Observation
from conductor.runtime.driver import MonotonicClock
from conductor.runtime.election import Election
from conductor.runtime.member import MemberPorts, RunningMember
from tests.runtime.kit import DEADLINE_SECONDS, RecordingTransport, formed_store, signer_of

OWN = MemberObservation(ServerId("a"), True, True, False, 0)


class RecordingManager:
    """Names `a` once it is told to, and keeps what it was asked with."""

    def __init__(self) -> None:
        self.seen: list[Observation] = []
        self.designation: Designation | None = None

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    def campaign_failed(self, server_id: ServerId, now_ms: int) -> None:
        pass

    def designate(self, observation: Observation) -> Designation | None:
        self.seen.append(observation)
        return self.designation


class Bench:
    """A member that is a cluster of its own, and the manager that is asked who should lead it."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        store = formed_store(1)
        ports = MemberPorts(
            store=store,
            transport=RecordingTransport(),
            signer=signer_of("a"),
            verify=verify_signature,
            clock=MonotonicClock(),
            spawn=self._spawn,
            after_write=lambda: None,
            on_notice=lambda notice: None,
            on_fatal=lambda error: None,
        )
        self.member = RunningMember(store.load(), Config(), ports)
        self.manager = RecordingManager()
        self.election = Election(
            self.member.driver,
            self.manager,
            lambda now_ms: (),
            initial_leader=ServerId("c"),
            campaign_timeout_ms=2000,
        )
        self.member.start()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work, name=name))

    async def lead(self, reason: str) -> None:
        """Have it named, and wait until it leads."""
        self.manager.designation = Designation(ServerId("a"), reason)
        self.election.consider(OWN, 1)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not self.member.machine.is_established:  # noqa: ASYNC110 - plain state, no event
                await asyncio.sleep(0)
        self.election.consider(OWN, 2)

    async def end(self) -> None:
        self.member.stop(ShuttingDown("test"))
        await self.member.finish()
        await asyncio.gather(*self.tasks)


async def test_initial_leader_is_shown_until_somebody_has_led() -> None:
    bench = Bench()
    bench.election.consider(OWN, 0)
    await bench.lead("for a test")

    assert [seen.initial_leader for seen in bench.manager.seen] == ["c", "c", None]
    await bench.end()


@pytest.mark.parametrize(
    ("reason", "by_transfer"),
    [("transfer: an operator asked", True), ("node-1 stops", False), ("is the first", False)],
)
async def test_manager_learns_whom_an_operator_chose(reason: str, by_transfer: bool) -> None:
    """From the entry with which the leadership begins: all nodes know, for as long as it lasts."""
    bench = Bench()
    await bench.lead(reason)

    leader = bench.manager.seen[-1].leader
    assert leader is not None
    assert leader.by_transfer is by_transfer
    await bench.end()
