"""Owns the background work of a node: none is lost, none fails unseen.

Invariant: a task, a thread or a step that ends with an error ends the node; this is the one place
that catches everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

import structlog

logger = structlog.get_logger(__name__)


class _Supervised(AbstractContextManager[None]):
    """May be entered again and again: the core's steps are, many times a second."""

    def __init__(self, name: str, on_failure: Callable[[Exception], None]) -> None:
        self._name = name
        self._on_failure = on_failure

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self._on_failure(error)
        logger.error("task_failed", task=self._name, exc_info=error)
        return True


def supervised(name: str, on_failure: Callable[[Exception], None]) -> _Supervised:
    """Hand whatever the block fails with to `on_failure` instead of the caller, and log it."""
    return _Supervised(name, on_failure)


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
