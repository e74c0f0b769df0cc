"""How the adapters call: large work leaves the event loop, and effects outlive their callers.

A caller that hangs up cancels its handler, wherever that stands. What it asked for must not be half
done because of that, so whatever changes something runs in a task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

OFF_LOOP_BYTES = 64 * 1024
"""Work on more bytes than this would hold up heartbeats and timers."""


async def worked_out(function: Callable[[bytes], Result], data: bytes) -> Result:
    """`function(data)`, in a thread when the data is large."""
    if len(data) > OFF_LOOP_BYTES:
        return await asyncio.to_thread(function, data)
    return function(data)


class LastingCalls:
    """Calls that run to their end whatever becomes of those who wait for them."""

    def __init__(self) -> None:
        # The event loop itself holds tasks weakly.
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, call: Coroutine[Any, Any, Result]) -> Result:
        """The result or the error of `call`, which is never cancelled from here."""
        task = asyncio.get_running_loop().create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait((task,))
        return task.result()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        # asyncio complains about an error that nobody looked at, and the caller may be gone.
        if not task.cancelled():
            task.exception()
