"""One timer for the core's next deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from conductor.ports import Clock


class Deadline:
    """Calls back once at the time that was set last; never early, or the core would ask again."""

    def __init__(self, clock: Clock, reached: Callable[[], None]) -> None:
        self._clock = clock
        self._reached = reached
        self._at_ms: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at_ms: int) -> None:
        """Call back at `at_ms` instead of whenever it was before."""
        if self._timer is not None:
            if at_ms == self._at_ms:
                return
            self._timer.cancel()
        self._at_ms = at_ms
        delay_ms = max(1, at_ms - self._clock.now_ms() + 1)
        self._timer = asyncio.get_running_loop().call_later(delay_ms / 1000, self._fire)

    def cancel(self) -> None:
        """Do not call back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        self._reached()
