"""Feeds every decoder with malformed inputs, in this process.

Law: an input is named by the seed, the target and its number, and nothing else has a part in it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence

from tests.malformed import api_targets, local_targets, payload_targets, peer_targets
from tests.malformed.byte_mutation import chance_of
from tests.malformed.tally import Tally, Unexpected
from tests.malformed.target import Target

TARGETS: Sequence[Target] = (
    *payload_targets.TARGETS,
    *api_targets.TARGETS,
    *peer_targets.TARGETS,
    *local_targets.TARGETS,
)

LIMIT_S = 0.5
"""Of CPU time for an input of up to some hundred kilobytes."""
HEAVY_LIMIT_S = 4.0
"""Of CPU time for one of some megabytes."""


def shares(count: int, targets: Sequence[Target] = TARGETS) -> Iterator[tuple[Target, int]]:
    """How many of `count` inputs each target gets; together they are `count`."""
    total = sum(target.share for target in targets)
    given = so_far = 0
    for target in targets:
        so_far += target.share
        until = count * so_far // total
        yield target, until - given
        given = until


async def feed(
    target: Target,
    count: int,
    *,
    seed: int,
    limit_s: float = LIMIT_S,
    on_input: Callable[[], None] = lambda: None,
) -> Tally:
    """Give a target so many inputs, each of which may take `limit_s` of CPU time."""
    tally = Tally(target.name)
    for number in range(count):
        data = target.make(chance_of(seed, target.name, number))
        await _take(target, tally, number, data, limit_s)
        on_input()
    return tally


async def feed_heavy(target: Target) -> Tally:
    """Give a target its large inputs."""
    tally = Tally(f"{target.name}, large")
    for number, data in enumerate(target.heavy()):
        await _take(target, tally, number, data, HEAVY_LIMIT_S)
    return tally


async def _take(target: Target, tally: Tally, number: int, data: bytes, limit_s: float) -> None:
    with Unexpected(tally, number, data), tally.timed(number, data, limit_s):
        outcome = target.take(data)
        tally.outcomes[await outcome if inspect.isawaitable(outcome) else outcome] += 1
