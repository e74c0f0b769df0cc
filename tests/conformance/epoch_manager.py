"""What every epoch manager must do, whatever it goes by.

A test module derives a class from `EpochManagerConformance` and gives it a `create` that makes
fresh managers, all of the same mind: each would name the voter `a` if it is there and nobody leads.
"""

from __future__ import annotations

from random import Random

from conductor.core.values import Epoch, ServerId
from conductor.ports import (
    Designation,
    EpochManager,
    LeaderObservation,
    MemberObservation,
    Observation,
)

NAMES = ("a", "b", "c", "d", "e")
MANY = 20
HISTORIES = 200
STEPS_MS = (0, 1, 100, 2000, 90_000)


def observation(source: Random, now_ms: int) -> Observation:
    """Anything that can be seen at that time, the odd and the contradictory included."""

    def maybe() -> bool:
        return source.random() < 0.5

    voters = tuple(
        MemberObservation(
            server_id=ServerId(name),
            reachable=maybe(),
            serving=maybe(),
            paused=maybe(),
            serving_since_ms=source.randint(0, now_ms) if maybe() else None,
        )
        for name in NAMES
        if maybe()
    )
    leader = LeaderObservation(
        server_id=ServerId(source.choice(NAMES)),
        epoch=Epoch(source.randint(1, 4)),
        since_ms=source.randint(0, now_ms),
        by_transfer=maybe(),
    )
    return Observation(
        now_ms=now_ms,
        self_id=ServerId(source.choice(NAMES)),
        voters=voters,
        leader=leader if maybe() else None,
        quorum=source.randint(1, len(NAMES)),
        initial_leader=ServerId(source.choice(NAMES)) if maybe() else None,
    )


def history(seed: int) -> list[Observation | ServerId]:
    """What happens to a manager: observations as time goes by, and campaigns that failed."""
    source, now_ms = Random(seed), 0
    happened: list[Observation | ServerId] = []
    for _ in range(source.randint(1, 12)):
        now_ms += source.choice(STEPS_MS)
        is_failure = source.random() < 0.3
        failed = ServerId(source.choice(NAMES))
        happened.append(failed if is_failure else observation(source, now_ms))
    return happened


class EpochManagerConformance:
    """The suite."""

    def create(self) -> EpochManager:
        """A fresh manager."""
        raise NotImplementedError

    async def test_start_and_stop_may_be_repeated(self) -> None:
        manager = self.create()
        await manager.stop()
        for _ in range(2):
            await manager.start()
            await manager.start()
            await manager.stop()
            await manager.stop()

    def test_nobody_is_named_where_there_are_no_voters(self) -> None:
        manager = self.create()
        empty = Observation(0, ServerId("a"), (), quorum=1, leader=None)
        assert manager.designate(empty) is None

    def test_leader_that_is_no_voter_is_not_named(self) -> None:
        leader = LeaderObservation(ServerId("gone"), Epoch(1), 0, by_transfer=False)
        named = self.create().designate(self.seen_by_a(0, leader))
        assert named is not None
        assert named.server_id == "a"

    def test_single_voter_is_never_excluded(self) -> None:
        """H8: whoever is the last one is named, however often it has failed."""
        manager = self.create()
        for attempt in range(MANY):
            named = manager.designate(self.seen_by_a(attempt * 1000))
            assert named is not None
            assert named.server_id == "a"
            manager.campaign_failed(named.server_id, attempt * 1000)

    def test_only_voters_are_named_and_every_name_has_a_reason(self) -> None:
        named_count = 0
        for seed in range(HISTORIES):
            for seen, named in self.answers(self.create(), history(seed)):
                voter_ids = {voter.server_id for voter in seen.voters}
                assert named is None or (named.server_id in voter_ids and named.reason)
                named_count += named is not None
        assert named_count > HISTORIES

    def test_same_history_gives_the_same_names_however_often_it_is_asked(self) -> None:
        """Level-triggered: a tick more or less changes nothing, and all nodes decide alike."""
        for seed in range(HISTORIES):
            happened = history(seed)
            often = [item for item in happened for _ in range(1 if isinstance(item, str) else 3)]
            once = self.answers(self.create(), happened)
            assert self.answers(self.create(), often)[::3] == once

    def answers(
        self, manager: EpochManager, happened: list[Observation | ServerId]
    ) -> list[tuple[Observation, Designation | None]]:
        """Whom the manager names at each observation."""
        answers, now_ms = [], 0
        for item in happened:
            if isinstance(item, str):
                manager.campaign_failed(item, now_ms)
            else:
                now_ms = item.now_ms
                answers.append((item, manager.designate(item)))
        return answers

    def seen_by_a(self, now_ms: int, leader: LeaderObservation | None = None) -> Observation:
        """A cluster of `a` alone, which is fit."""
        a = MemberObservation(ServerId("a"), True, True, False, 0)
        return Observation(now_ms, a.server_id, (a,), quorum=1, leader=leader)
