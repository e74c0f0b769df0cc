"""What the kernel says of a process: its memory, its processor time, the disk under a directory.

Linux only: everything is read from `/proc`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20

_BLOCK_BYTES = 512
"""What `st_blocks` counts, on every file system."""

_LINE = re.compile(r"^(\w+):\s+([0-9]+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of one process, in MiB."""

    resident: float
    """RSS: every page that is in memory for it, shared libraries counted in full."""
    anonymous: float
    """RssAnon: what it holds for itself, without the pages of files."""
    proportional: float
    """PSS: as RSS, a page of n processes counted as a part of 1/n."""
    peak: float
    """VmHWM: the highest RSS since it began, also between two looks."""


def memory_of(process_id: int) -> Memory:
    """As it is now. OSError: there is no such process."""
    directory = Path("/proc") / str(process_id)
    status = _mebibytes(directory / "status")
    rollup = _mebibytes(directory / "smaps_rollup")
    return Memory(status["VmRSS"], status["RssAnon"], rollup["Pss"], status["VmHWM"])


def _mebibytes(file: Path) -> dict[str, float]:
    return {name: int(size) / 1024 for name, size in _LINE.findall(file.read_text("ascii"))}


@dataclass(frozen=True, slots=True)
class ProcessorTime:
    """Seconds of a processor since the process began, over all of its threads."""

    user_s: float
    system_s: float

    @property
    def total_s(self) -> float:
        """Both."""
        return self.user_s + self.system_s

    def __sub__(self, earlier: ProcessorTime) -> ProcessorTime:
        return ProcessorTime(self.user_s - earlier.user_s, self.system_s - earlier.system_s)


def processor_time_of(process_id: int) -> ProcessorTime:
    """Until now, to a hundredth of a second. OSError: there is no such process."""
    line = Path(f"/proc/{process_id}/stat").read_text("ascii", errors="replace")
    # The second field is the program's name, in which there may be blanks and parentheses.
    fields = line.rpartition(")")[2].split()
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    user_ticks, system_ticks = int(fields[11]), int(fields[12])
    return ProcessorTime(user_ticks / ticks_per_s, system_ticks / ticks_per_s)


def disk_mib(directory: Path) -> float:
    """What the files in there take of the disk; one that vanishes meanwhile takes nothing."""
    size_bytes = 0
    for file in directory.rglob("*"):
        with suppress(FileNotFoundError):
            size_bytes += file.lstat().st_blocks * _BLOCK_BYTES
    return size_bytes / MIB


def slope_per_minute(times_s: Sequence[float], values: Sequence[float]) -> float:
    """How fast the values grow: the slope of the straight line that fits best (least squares)."""
    count = len(times_s)
    middle_s, middle = sum(times_s) / count, sum(values) / count
    spread = sum((time_s - middle_s) ** 2 for time_s in times_s)
    if not spread:
        return 0.0
    pairs = zip(times_s, values, strict=True)
    return 60 * sum((time_s - middle_s) * (value - middle) for time_s, value in pairs) / spread
