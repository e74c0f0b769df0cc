"""How a node comes to its end: what is allowed to end it, and how long that may take.

Invariant: whoever asks for the end gets it within seconds. A thread that waits for a stuck disk can
be neither cancelled nor waited for, and nothing may close the store while it is in there; ending
the process under it is safe, since nothing was said of what it was about to write.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any

import structlog

logger = structlog.get_logger(__name__)

ORDERLY_SECONDS_MAX = 5.0
"""How long an orderly end may take: some hundredths, and at most two seconds more for a hand-over,
unless a disk or a client holds it up."""

LAST_LINES_SECONDS = 0.2
"""How long the last line of the log gets to be written."""

COMPLAINT_INTERVAL_SECONDS = 10.0
"""How often the log says that the system refuses sockets: it may do so a hundred times a second."""


def exit_at_once() -> None:
    """End the process, whatever its threads are doing."""
    os._exit(1)


class LastResort:
    """Ends the process when it has not ended by itself some time after it was told to."""

    def __init__(
        self,
        *,
        orderly_seconds_max: float = ORDERLY_SECONDS_MAX,
        exit_process: Callable[[], None] = exit_at_once,
    ) -> None:
        self._orderly_seconds_max = orderly_seconds_max
        self._exit_process = exit_process
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="last-resort", daemon=True)

    def arm(self) -> None:
        """The end has begun. A second call changes nothing."""
        if self._thread.ident is None:
            self._thread.start()

    def disarm(self) -> None:
        """It was orderly."""
        self._ended.set()

    def _run(self) -> None:
        if not self._ended.wait(self._orderly_seconds_max):
            logger.error("node_abandoned", reason=f"no end in {self._orderly_seconds_max:g} s")
            if not self._ended.wait(LAST_LINES_SECONDS):
                self._exit_process()


class Stop:
    """Why and when the node ends."""

    def __init__(self, last_resort: LastResort) -> None:
        self._last_resort = last_resort
        self._wanted = asyncio.Event()
        self._complained_at: float | None = None
        self.error: Exception | None = None

    def fail(self, error: Exception) -> None:
        """End the node because of `error`."""
        if self.error is None:
            self.error = error
            logger.error("node_failed", error=str(error), code=getattr(error, "code", "internal"))
        self._end()

    def want(self, asked_by: str) -> None:
        """End the node because someone asked for it: a signal, or an operator over the API."""
        logger.info("node_stopping", asked_by=asked_by)
        self._end()

    def _end(self) -> None:
        self._last_resort.arm()
        self._wanted.set()

    def on_unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback or task failed unseen: our own bug, so the node ends.

        An OSError that is no task's is none: the event loop says so that the system would not give
        it a connection, for want of file descriptors or because the network failed. Whoever opens
        many connections must not end a node by that.
        """
        error = context.get("exception")
        is_of_a_task = "task" in context or "future" in context
        if isinstance(error, OSError) and not is_of_a_task:
            self._complain(loop.time(), error, context.get("message"))
        elif isinstance(error, Exception):
            self.fail(error)
        else:
            logger.warning("event_loop_complaint", message=context.get("message"))

    def _complain(self, now_s: float, error: OSError, message: str | None) -> None:
        last = self._complained_at
        if last is None or now_s - last >= COMPLAINT_INTERVAL_SECONDS:
            self._complained_at = now_s
            logger.warning("socket_refused", message=message, error=str(error))

    async def wait(self) -> None:
        """Until the node is to end."""
        await self._wanted.wait()
