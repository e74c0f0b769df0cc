"""Observations as an epoch manager gets them."""

from __future__ import annotations

from conductor.core.values import Epoch, ServerId
from conductor.ports import LeaderObservation, MemberObservation, Observation


def a_voter(
    name: str,
    *,
    serving: bool = True,
    reachable: bool = True,
    paused: bool = False,
    since_ms: int = 0,
) -> MemberObservation:
    """A voter that is fit to lead, but for what is said otherwise."""
    serving = serving and reachable and not paused
    return MemberObservation(
        ServerId(name), reachable, serving, paused, since_ms if serving else None
    )


def a_leader(
    name: str, *, epoch: int = 1, since_ms: int = 0, by_transfer: bool = False
) -> LeaderObservation:
    """The leadership of that voter."""
    return LeaderObservation(ServerId(name), Epoch(epoch), since_ms, by_transfer)


def observe(
    now_ms: int,
    *voters: MemberObservation | str,
    leader: LeaderObservation | str | None = None,
    initial_leader: str | None = None,
    self_id: str = "",
) -> Observation:
    """What is seen at that time; a mere name is a fit voter, or a leader that has led from 0.

    It is seen by the first voter in reach, unless `self_id` says otherwise.
    """
    members = [a_voter(voter) if isinstance(voter, str) else voter for voter in voters]
    in_reach = [member.server_id for member in members if member.reachable]
    return Observation(
        now_ms=now_ms,
        self_id=ServerId(self_id or in_reach[0]),
        voters=tuple(sorted(members, key=lambda member: member.server_id)),
        leader=a_leader(leader) if isinstance(leader, str) else leader,
        quorum=len(members) // 2 + 1,
        initial_leader=ServerId(initial_leader) if initial_leader is not None else None,
    )
