"""Calls that wait for a word of the core.

Invariant: a call ends with the notice for its request id, or with its own timeout, whichever comes
first; the core is told when nobody waits any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from conductor.core.effects import (
    CommitCertified,
    HandOverDone,
    Notice,
    ReadReady,
    RequestFailed,
)
from conductor.core.events import Event, RequestAbandoned
from conductor.errors import ConductorError, OutcomeUnknown

Answer = CommitCertified | ReadReady | HandOverDone
AnswerType = TypeVar("AnswerType", CommitCertified, ReadReady, HandOverDone)


class PendingRequests:
    """Futures by request id."""

    def __init__(self, post: Callable[[Event], None]) -> None:
        self._post = post
        self._futures: dict[int, asyncio.Future[Answer]] = {}
        self._last_id = 0

    async def ask(
        self,
        event_of: Callable[[int], Event],
        answer_type: type[AnswerType],
        *,
        timeout_ms: int,
        late: Callable[[], OutcomeUnknown],
    ) -> AnswerType:
        """Post the event made for a new request id and wait for its answer.

        Raises the error of the core's notice, or `late()` after the timeout.
        """
        self._last_id += 1
        request_id = self._last_id
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._futures[request_id] = future
        try:
            self._post(event_of(request_id))
            async with asyncio.timeout(timeout_ms / 1000):
                answer = await future
        except TimeoutError:
            raise late() from None
        finally:
            del self._futures[request_id]
            if not future.done() or future.cancelled():
                self._post(RequestAbandoned(request_id))
        assert isinstance(answer, answer_type)
        return answer

    def notify(self, notice: Notice) -> None:
        """Hand a notice to the call that waits for it, if it is one."""
        if isinstance(notice, RequestFailed):
            future = self._futures.get(notice.request_id)
            if future is not None and not future.done():
                future.set_exception(notice.error)
        elif isinstance(notice, CommitCertified | ReadReady | HandOverDone):
            future = self._futures.get(notice.request_id)
            if future is not None and not future.done():
                future.set_result(notice)

    def fail_all(self, error: ConductorError) -> None:
        """The node stops: nobody shall wait in vain."""
        for future in self._futures.values():
            if not future.done():
                future.set_exception(error)
