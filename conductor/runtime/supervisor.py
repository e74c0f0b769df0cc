"""Owns the background work of a node: none is lost, none fails unseen.

Invariant: a task, a thread or a step that ends with an error ends the node; this is the one place
that catches everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

logger = structlog.get_logger(__name__)


@contextmanager
def supervised(name: str, on_failure: Callable[[Exception], None]) -> Iterator[None]:
    """Hand whatever the block fails with to `on_failure` instead of the caller, and log it."""
    try:
        yield
    except Exception as error:
        on_failure(error)
        logger.exception("task_failed", task=name)


class Supervisor:
    """Starts tasks, keeps them referenced, cancels them all at the end."""

    def __init__(self, on_failure: Callable[[Exception], None]) -> None:
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run `work` in the background until it ends or the node stops."""
        task = asyncio.get_running_loop().create_task(self._guard(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Coroutine[Any, Any, None], name: str) -> None:
        with supervised(name, self._on_failure):
            await work

    async def stop(self) -> None:
        """Cancel every task and wait until all have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
