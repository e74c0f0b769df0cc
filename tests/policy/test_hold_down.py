"""How long a server that failed ranks behind the others."""

from __future__ import annotations

from conductor.policy.hold_down import HoldDowns

HOLD_DOWN_MS = 60_000


def test_server_that_never_failed_is_not_held_down() -> None:
    hold_downs = HoldDowns(HOLD_DOWN_MS)
    hold_downs.failed("b", 0)
    assert hold_downs.until_ms("a", 0) == 0


def test_hold_down_ends() -> None:
    hold_downs = HoldDowns(HOLD_DOWN_MS)
    hold_downs.failed("a", 1000)
    assert hold_downs.until_ms("a", 1000) == 61_000
    assert hold_downs.until_ms("a", 60_999) == 61_000
    assert hold_downs.until_ms("a", 61_000) == 0


def test_hold_down_doubles_when_the_server_fails_again_soon() -> None:
    """H1: exponential, up to a limit."""
    hold_downs, now_ms, lengths_ms = HoldDowns(HOLD_DOWN_MS), 0, []
    for _ in range(7):
        hold_downs.failed("a", now_ms)
        until_ms = hold_downs.until_ms("a", now_ms)
        lengths_ms.append(until_ms - now_ms)
        now_ms = until_ms
    assert [length_ms // HOLD_DOWN_MS for length_ms in lengths_ms] == [1, 2, 4, 8, 16, 16, 16]


def test_old_failure_is_forgotten_after_as_long_a_good_time_as_it_was_held() -> None:
    hold_downs = HoldDowns(HOLD_DOWN_MS)
    hold_downs.failed("a", 0)
    hold_downs.failed("a", 119_999)
    assert hold_downs.until_ms("a", 119_999) == 119_999 + 2 * HOLD_DOWN_MS
    forgotten_ms = 119_999 + 4 * HOLD_DOWN_MS
    hold_downs.failed("a", forgotten_ms)
    assert hold_downs.until_ms("a", forgotten_ms) == forgotten_ms + HOLD_DOWN_MS
