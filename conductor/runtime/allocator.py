"""Tells the C library to keep the memory of large payloads instead of giving it back each time.

glibc maps every block above 128 KiB anew and unmaps it when it is freed: with payloads of
megabytes every copy goes through fresh pages, which took a fifth of a commit's time at 2 MB.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
MMAP_THRESHOLD_BYTES = 32 * 2**20
"""The most that glibc takes; a payload has at most 16 MiB."""
TRIM_THRESHOLD_BYTES = 128 * 2**20


def keep_large_blocks() -> bool:
    """Whether the C library took the advice; on anything but glibc there is none to give."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(
        mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
        and mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)
    )
