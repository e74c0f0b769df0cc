"""The examples of a page, run as they are written and compared with what they are said to print.

A block that is fenced as `console` has commands behind `$ `, continued behind a backslash, and
below each what it prints. A line `...` stands for any lines, and a line that ends in ` ...` for one
that begins so. Paths, times, and the width of columns may be others than on the page.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

BACKUP = re.compile(r"raft-backup-\d{8}-\d{6}")
TIMES = (
    re.compile(r"\d{8}-\d{6}"),
    re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})"),
)
LINE_LEFT_OUT = "..."


@dataclass(frozen=True, slots=True)
class Example:
    """One command of a page."""

    section: str
    """The heading above it."""
    command: str
    expected: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What it printed, on stdout and stderr, and how it ended."""

    lines: tuple[str, ...]
    exit_code: int


def examples_of(page: str) -> Iterator[Example]:
    """All commands in `console` blocks, in order."""
    pattern = re.compile(r"^#+ (.*?)$|^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    section = ""
    for heading, block in pattern.findall(page):
        if heading:
            section = heading
            continue
        for text in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, output = _split(text)
            yield Example(section, command, tuple(output.splitlines()))


def run(command: str, directory: Path, environment: Mapping[str, str]) -> Outcome:
    """Type it into a shell there, with the programs of this environment on the PATH."""
    search = os.pathsep.join((str(Path(sys.executable).parent), environment.get("PATH", "")))
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=directory,
        env={**environment, "PATH": search},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Outcome(tuple(done.stdout.splitlines()), done.returncode)


def is_as_expected(lines: tuple[str, ...], expected: tuple[str, ...], directory: Path) -> bool:
    """Whether the output is that of the page, apart from what may be another."""
    parts = []
    for line in expected:
        if line == LINE_LEFT_OUT:
            parts.append(r"(?:.*\n)*")
        elif line.endswith(f" {LINE_LEFT_OUT}"):
            parts.append(re.escape(_plain(line.removesuffix(LINE_LEFT_OUT))) + r".*\n")
        else:
            parts.append(re.escape(_plain(line)) + r"\n")
    said = "".join(f"{_plain(line, directory)}\n" for line in lines)
    return re.fullmatch("".join(parts), said) is not None


def _split(text: str) -> tuple[str, str]:
    """A command with its continuation lines, and what is below it."""
    lines = text.splitlines(keepends=True)
    end = next(number for number, line in enumerate(lines) if not line.endswith("\\\n"))
    return "".join(lines[: end + 1]).rstrip("\n"), "".join(lines[end + 1 :])


def _plain(line: str, directory: Path | None = None) -> str:
    if directory is not None:
        line = line.replace(str(directory), "/srv")
    for time in TIMES:
        line = time.sub("TIME", line)
    return " ".join(line.split())
