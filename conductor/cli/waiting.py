"""Looks until something has come about, or for long enough."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

LOOK_EVERY_S = 0.1

Seen = TypeVar("Seen")


def wait_until(
    look: Callable[[], Seen], is_enough: Callable[[Seen], bool], *, timeout_ms: int
) -> Seen:
    """What was seen last: the first that is enough, or the one after which the time was over."""
    deadline = time.monotonic() + timeout_ms / 1000
    pause = threading.Event()
    while True:
        seen = look()
        if is_enough(seen) or time.monotonic() >= deadline:
            return seen
        pause.wait(LOOK_EVERY_S)
