"""Decoding beside the event loop.

Hashing a large payload would hold up every heartbeat; a small message is decoded faster than it is
handed to a thread. One after the other is the caller's business: whoever awaits each message before
it reads the next keeps their order. What is said again and again, as greetings are, is decoded
once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

INLINE_BYTES_MAX = 64 * 1024
REMEMBERED_BYTES_MAX = 16 * 1024
"""Larger messages are not remembered: whoever sends them must not fill this node's memory."""
REMEMBERED_MAX = 16
"""So many messages are: more than there are members."""

_Decoded = TypeVar("_Decoded")


async def decoded(decode: Callable[[bytes], _Decoded], data: bytes) -> _Decoded:
    """`decode(data)`, on another thread when it is large."""
    if len(data) <= INLINE_BYTES_MAX:
        return decode(data)
    return await asyncio.get_running_loop().run_in_executor(None, decode, data)


def remembering(decode: Callable[[bytes], _Decoded]) -> Callable[[bytes], _Decoded]:
    """`decode`, which must be pure and give what cannot change, without doing the same twice."""
    recent = lru_cache(REMEMBERED_MAX)(decode)

    def decode_once(data: bytes) -> _Decoded:
        return recent(data) if len(data) <= REMEMBERED_BYTES_MAX else decode(data)

    return decode_once
