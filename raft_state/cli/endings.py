"""How the program ends when it is told to: by SIGTERM and SIGHUP as by Ctrl-C.

Invariant: whatever a command has to undo or to remove on its way out is undone and removed. Once it
has been told, it is not interrupted in that by being told again.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from conductor.exit_codes import ExitCode

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_SIGNALLED = 128
"""What shells add to a signal's number."""


@contextmanager
def orderly_end() -> Iterator[None]:
    """Turn these signals into KeyboardInterrupt; the exit code is then 128 and their number."""
    received: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        received.append(number)
        raise KeyboardInterrupt

    for each in _SIGNALS:
        # nohup has SIGHUP ignored.
        if signal.getsignal(each) is signal.SIG_DFL:
            signal.signal(each, end)
    try:
        yield
    except SystemExit as ending:
        # An error on the way out says more than the signal.
        if received and ending.code == ExitCode.INTERRUPTED:
            sys.exit(_SIGNALLED + received[0])
        raise
    except (KeyboardInterrupt, OSError):
        # Either outside of all commands, or the terminal is gone that it would be said on.
        if received:
            sys.exit(_SIGNALLED + received[0])
        raise
