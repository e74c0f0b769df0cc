"""How calls end, for those who count: done, certainly not done, or nobody knows (promise 8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from conductor.errors import ConductorError, Refused, RequestError, StoreFull, Unavailable
from conductor.ports import Outcome

_NOT_DONE = (RequestError, Refused, Unavailable, StoreFull)


def outcome_of(error: ConductorError) -> Outcome:
    """What an error says of what was asked for; callers are told the same."""
    return "refused" if isinstance(error, _NOT_DONE) else "unknown"


@contextmanager
def outcome_told(tell: Callable[[Outcome], None]) -> Iterator[None]:
    """Tell how the block ended. One that is cancelled, or fails unforeseen, has ended *unknown*."""
    outcome: Outcome = "unknown"
    try:
        yield
        outcome = "success"
    except ConductorError as error:
        outcome = outcome_of(error)
        raise
    finally:
        tell(outcome)
