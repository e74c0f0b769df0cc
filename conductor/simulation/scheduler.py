"""Virtual time: what happens next, and when.

Invariant: equal inputs give equal orders. Nothing here looks at a real clock, and of two actions
that are due at the same millisecond the one that was planned first comes first.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

Action = Callable[[], None]


class Scheduler:
    """A queue of actions by time, in milliseconds since the beginning of the schedule."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._planned = 0
        self._queue: list[tuple[int, int, Action]] = []

    def at(self, time_ms: int, action: Action) -> None:
        """Plan `action` for that time, or for now if that has passed."""
        self._planned += 1
        heapq.heappush(self._queue, (max(time_ms, self.now_ms), self._planned, action))

    def after(self, delay_ms: int, action: Action) -> None:
        """Plan `action` for so many milliseconds from now."""
        self.at(self.now_ms + delay_ms, action)

    def run_until(self, end_ms: int) -> None:
        """Let everything happen that is due up to and including `end_ms`."""
        queue = self._queue
        while queue and queue[0][0] <= end_ms:
            self.now_ms, _, action = heapq.heappop(queue)
            action()
        self.now_ms = max(self.now_ms, end_ms)

    def run_until_true(self, condition: Callable[[], bool], end_ms: int) -> bool:
        """Let things happen until `condition` holds or `end_ms` has come; whether it holds."""
        queue = self._queue
        while not condition():
            if not queue or queue[0][0] > end_ms:
                self.now_ms = max(self.now_ms, end_ms)
                return False
            self.now_ms, _, action = heapq.heappop(queue)
            action()
        return True


class LocalClock:
    """A node's own monotonic clock: it began at another time, and runs fast or slow."""

    def __init__(self, offset_ms: int = 0, rate_permille: int = 1000) -> None:
        self._offset_ms = offset_ms
        self._rate_permille = rate_permille

    def read(self, now_ms: int) -> int:
        """What it shows at that virtual time."""
        return self._offset_ms + now_ms * self._rate_permille // 1000

    def when(self, local_ms: int) -> int:
        """The first virtual time at which it shows at least `local_ms`."""
        return -(-(local_ms - self._offset_ms) * 1000 // self._rate_permille)
