"""What every test gets: a blocking call made by the conductor on an event loop is an error.

A sync, a query or a file read on the loop stalls heartbeats and timers; here it fails the test that
reached it instead of showing up as a lost leadership in production.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx

# Before any test imports them: their asserts are to explain themselves like those of tests.
pytest.register_assert_rewrite("tests.conformance.store", "tests.store.builders")


@pytest.fixture(autouse=True)
def no_blocking_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """Make blocking calls from `conductor` raise while an async test runs; sync tests are free."""
    if not inspect.iscoroutinefunction(getattr(request.node, "function", None)):
        yield
        return
    with blockbuster_ctx("conductor") as detector:
        # Where the last channel of a test is let go, gRPC joins its polling thread. A node never
        # gets there: its server lives as long as its loop.
        acquire = detector.functions["threading.Lock.acquire"]
        acquire.can_block_in("threading.py", {"_wait_for_tstate_lock"})
        yield
