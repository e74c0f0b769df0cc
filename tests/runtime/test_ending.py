"""The end of a node: what brings it about, and that nothing can hold it up for long."""

from __future__ import annotations

import asyncio
import errno
import sys
import threading

import pytest

from conductor.errors import InvariantViolation
from conductor.runtime.ending import LastResort, Stop
from tests.runtime.kit import DEADLINE_SECONDS

STUCK = """
import threading
from conductor.runtime.ending import LastResort

last_resort = LastResort(orderly_seconds_max=0.01)
last_resort.arm()
threading.Event().wait()
"""


@pytest.fixture
def stop() -> Stop:
    return Stop(LastResort(orderly_seconds_max=DEADLINE_SECONDS, exit_process=lambda: None))


async def test_process_that_cannot_end_is_ended() -> None:
    """A thread that waits for a stuck disk cannot be cancelled, and the exit would wait for it."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", STUCK)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await process.wait() == 1


def test_orderly_end_is_left_alone() -> None:
    exits: list[int] = []
    last_resort = LastResort(orderly_seconds_max=0.01, exit_process=lambda: exits.append(1))
    last_resort.disarm()
    last_resort.arm()
    last_resort.arm()
    for thread in threading.enumerate():
        if thread.name == "last-resort":
            thread.join(DEADLINE_SECONDS)
    assert exits == []


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EHOSTUNREACH])
async def test_connection_that_the_system_does_not_give_ends_nothing(
    stop: Stop, number: int
) -> None:
    """Else anyone who opens a thousand connections takes the leader away."""
    loop = asyncio.get_running_loop()
    context = {"message": "socket.accept() out of system resource", "exception": OSError(number)}
    for _ in range(2):
        stop.on_unhandled(loop, {**context, "socket": None})
    assert stop.error is None


async def test_bug_that_nobody_saw_ends_the_node(stop: Stop) -> None:
    loop = asyncio.get_running_loop()
    stop.on_unhandled(loop, {"message": "a task failed", "exception": OSError(1), "task": None})
    assert isinstance(stop.error, OSError)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await stop.wait()


async def test_first_failure_is_the_one_that_is_told(stop: Stop) -> None:
    first = InvariantViolation("two leaders in one epoch")
    stop.fail(first)
    stop.fail(OSError("the disk is gone as well"))
    assert stop.error is first
