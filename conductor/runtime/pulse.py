"""The node's own pulse: measures how late its event loop runs, and calls what looks at the clock.

Invariant: the lag that is reported is the newest measured one, and never younger than one beat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from conductor.ports import Clock


class Pulse:
    """Beats at a fixed interval; a beat that comes late is the measure of a stalled loop."""

    def __init__(self, clock: Clock, interval_ms: int, beat: Callable[[int], None]) -> None:
        self._clock = clock
        self._interval_ms = interval_ms
        self._beat = beat
        self._wanted = asyncio.Event()
        self._is_due = False
        self.lag_ms = 0
        """How late the newest beat was. One that came early does not make the last one better."""
        self.beat_ms = clock.now_ms()
        """When it was."""

    def hurry(self) -> None:
        """Beat now: something has changed that should not wait for the next beat."""
        self._wanted.set()

    async def run(self) -> None:
        """Beat until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            expected_ms = self._clock.now_ms() + self._interval_ms
            self._is_due = False
            # A bare timer: `asyncio.timeout` costs three times as much, and this never rests.
            timer = loop.call_later(self._interval_ms / 1000, self._due)
            try:
                await self._wanted.wait()
            finally:
                timer.cancel()
            self._wanted.clear()
            self.beat_ms = self._clock.now_ms()
            lag_before_ms = 0 if self._is_due else self.lag_ms
            self.lag_ms = max(lag_before_ms, self.beat_ms - expected_ms)
            self._beat(self.beat_ms)

    def _due(self) -> None:
        self._is_due = True
        self._wanted.set()
