"""What all benchmarks share: their options, a directory of their own, and the machine they ran on.

Invariant: when a `setting` block is left, by SIGTERM too, nothing of it is left on the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SIZES_BYTES = (10_000, 100_000, 500_000, 1_000_000, 2_000_000)
"""Of the transactions in one payload; its SSZ has about 3 % more, at 10 KB 9 %."""

PAUSE_MS = 50
"""Much less than any chain's block time, and enough that what follows a commit (the third member's
disk, the news that it is certified) does not count as part of the next."""

DEFAULT_DIRECTORY = Path("op-conductor-data")
"""Where a node would put its data, too. `/tmp` is memory on many machines, where a sync is free."""

MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")


def size_name(size_bytes: int) -> str:
    """`10 KB`, `2 MB`."""
    kilobytes = size_bytes // 1000
    return f"{kilobytes // 1000} MB" if kilobytes >= 1000 else f"{kilobytes} KB"


def option_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with what every benchmark takes; `description`: the module's docstring."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--dir",
        type=Path,
        default=DEFAULT_DIRECTORY,
        help="a directory on the disk to be measured [default: %(default)s]",
    )
    parser.add_argument(
        "-o", dest="output", choices=("table", "json"), default="table", help="[default: table]"
    )
    return parser


def add_pause_option(parser: argparse.ArgumentParser) -> None:
    """Add the pause between two samples."""
    parser.add_argument(
        "--pause-ms",
        type=float,
        default=PAUSE_MS,
        help="before each sample; 0 measures without a break [default: %(default)g]",
    )


@contextmanager
def setting(directory: Path) -> Iterator[Path]:
    """An empty directory in `directory`, for as long as the block lasts."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=directory.absolute()) as name:
        yield Path(name)


class Machine:
    """The machine, and how busy it was."""

    def __init__(self, directory: Path) -> None:
        """As it is before the benchmark begins; `directory` is on the disk to be measured."""
        self._file_system = _file_system(directory.resolve())
        self._load_before = os.getloadavg()[0]
        if self._file_system in MEMORY_FILE_SYSTEMS:
            progress(
                f"{directory} is in memory ({self._file_system}): no sync costs anything there"
            )

    def facts(self) -> dict[str, Any]:
        """All that matters, for a report that is made now."""
        return {
            "cpu": _cpu_model(),
            "cores": os.cpu_count(),
            "kernel": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
            "file_system": self._file_system,
            "load_before": round(self._load_before, 2),
            "load_after": round(os.getloadavg()[0], 2),
        }

    def sentence(self) -> str:
        """The same for people."""
        facts = self.facts()
        return (
            f"{facts['cores']} cores of {facts['cpu']}, {facts['kernel']}, {facts['file_system']}, "
            f"Python {facts['python']}; load average {facts['load_before']} before the run and "
            f"{facts['load_after']} after it."
        )


def progress(text: str) -> None:
    """A line for whoever waits; the report alone goes to stdout."""
    print(text, file=sys.stderr, flush=True)


def print_json(document: dict[str, Any]) -> None:
    """The report for programs."""
    print(json.dumps(document, indent=2))


def _cpu_model() -> str:
    """As Linux calls it; elsewhere the architecture has to do."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text("utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.machine()


def _file_system(path: Path) -> str:
    """The type of the file system that holds `path`, where the system has a list of mounts."""
    mounts = Path("/proc/mounts")
    found = (-1, "unknown file system")
    if mounts.exists():
        for line in mounts.read_text("utf-8").splitlines():
            _, point, kind, *_ = line.split()
            if path.is_relative_to(point):
                found = max(found, (len(point), kind))
    return found[1]
