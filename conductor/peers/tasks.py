"""Background work with an owner.

Invariant: a task that was started here is in the set until it has ended, and one that fails is
reported to the event loop's exception handler at once: nothing dies in silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from conductor.errors import PeerUnreachable


class OwnedTasks:
    """The tasks of one owner, who stops them all."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` beside everything else."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            context = {"message": f"{task.get_name()} failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)

    async def join(self) -> None:
        """Wait until all of it has ended by itself."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def stop(self) -> None:
        """Cancel what still runs and wait until all of it has ended."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)


async def until_one_ends(*works: Coroutine[Any, Any, None]) -> None:
    """Run all of them until the first ends, stop the others, and raise what it raised.

    When several end at once, the first of them in the order given counts.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        if task.cancelled():
            # gRPC cancels whoever waits for a call that this side gave up.
            raise PeerUnreachable("the call was cancelled")
        task.result()
