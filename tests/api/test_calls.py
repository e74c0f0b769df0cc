"""Where work is done: small work at once, large work off the event loop."""

from __future__ import annotations

import threading

import pytest

from conductor.api.calls import OFF_LOOP_BYTES, worked_out
from conductor.errors import InvalidPayload


def thread_of(data: bytes) -> int:
    """The thread that works on the data."""
    del data
    return threading.get_ident()


@pytest.mark.parametrize(
    ("size", "elsewhere"), [(OFF_LOOP_BYTES, False), (OFF_LOOP_BYTES + 1, True)]
)
async def test_only_large_work_leaves_the_event_loop(size: int, elsewhere: bool) -> None:
    thread = await worked_out(thread_of, bytes(size))
    assert (thread != threading.get_ident()) == elsewhere


@pytest.mark.parametrize("size", [0, OFF_LOOP_BYTES + 1])
async def test_error_of_the_work_comes_back_from_wherever_it_was_done(size: int) -> None:
    def refuse(_: bytes) -> None:
        raise InvalidPayload("payload", "is not liked")

    with pytest.raises(InvalidPayload):
        await worked_out(refuse, bytes(size))
