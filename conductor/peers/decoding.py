"""Decoding beside the event loop.

Hashing a large payload would hold up every heartbeat; a small message is decoded faster than it is
handed to a thread. One after the other is the caller's business: whoever awaits each message before
it reads the next keeps their order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

INLINE_BYTES_MAX = 64 * 1024

_Decoded = TypeVar("_Decoded")


async def decoded(decode: Callable[[bytes], _Decoded], data: bytes) -> _Decoded:
    """`decode(data)`, on another thread when it is large."""
    if len(data) <= INLINE_BYTES_MAX:
        return decode(data)
    return await asyncio.get_running_loop().run_in_executor(None, decode, data)
