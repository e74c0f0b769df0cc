"""The pulse: a stalled event loop is measured, whatever wakes it."""

from __future__ import annotations

import asyncio

import pytest

from conductor.runtime.pulse import Pulse
from tests.runtime.kit import DEADLINE_SECONDS, ManualClock

INTERVAL_MS = 10


@pytest.mark.parametrize("is_hurried", [False, True])
async def test_beat_after_a_stall_says_how_late_it_is(is_hurried: bool) -> None:
    """T32: also when something asked for a beat just before the stall."""
    clock = ManualClock()
    lags: list[int] = []
    has_beaten = asyncio.Event()

    def beat(_: int) -> None:
        lags.append(pulse.lag_ms)
        has_beaten.set()

    pulse = Pulse(clock, INTERVAL_MS, beat)
    task = asyncio.get_running_loop().create_task(pulse.run())
    await asyncio.sleep(0)
    clock.time_ms += INTERVAL_MS + 3000
    if is_hurried:
        pulse.hurry()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await has_beaten.wait()
    assert lags == [3000]
    task.cancel()


async def test_early_beat_does_not_make_the_last_one_better() -> None:
    pulse = Pulse(ManualClock(), INTERVAL_MS, lambda _: has_beaten.set())
    has_beaten = asyncio.Event()
    pulse.lag_ms = 3000
    pulse.hurry()
    task = asyncio.get_running_loop().create_task(pulse.run())
    async with asyncio.timeout(DEADLINE_SECONDS):
        await has_beaten.wait()
    assert pulse.lag_ms == 3000
    task.cancel()
