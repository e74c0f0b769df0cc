"""The allocator's advice is taken where it is known, and harmless elsewhere."""

from __future__ import annotations

import sys

import pytest

from conductor.runtime.allocator import keep_large_blocks


def test_advice_is_not_given_off_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_large_blocks() is False


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_advice_is_taken_or_refused_without_harm() -> None:
    assert keep_large_blocks() in (True, False)
