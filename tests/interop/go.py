"""The judge of our Raft state files: HashiCorp's own libraries, behind the program `raftkit`.

It is built twice, against the newest versions and against those that op-conductor is built with. Go
itself knows when nothing has to be built, so all workers ask it to, one after the other.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

REQUIRED = "OP_CONDUCTOR_REQUIRE_GO"
"""The environment variable that turns a missing Go, or one that cannot build, into a failure."""

MODULE_FILES: Mapping[str, str] = {"newest": "go.mod", "bbolt-1.3.5": "go.bbolt135.mod"}
"""The name of each build, and the file that pins its libraries."""

SOURCES = Path(__file__).resolve().parent / "raftkit"

BUILD_TIMEOUT_S = 600
"""A first build downloads modules and compiles all of them; one after that takes a second."""
RUN_TIMEOUT_S = 100

PAYLOADS = ("--payload-bytes", "5000")
"""Makes commands of a running cluster so large that its logs are more than a few pages."""


class Findings(Exception):
    """`raftkit` ended with an error: its report, if there was one, and its text."""

    def __init__(self, report: Any, text: str) -> None:
        super().__init__(f"{text}\n{report}")
        self.report = report
        self.text = text


@dataclass(frozen=True, slots=True)
class Raftkit:
    """One build of the program."""

    program: Path

    def run(self, *arguments: str | Path | int) -> Any:
        """Run a command and give its report. Raises Findings when it does not end well."""
        done = subprocess.run(
            [self.program, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT_S,
            check=False,
        )
        return report_of(done.stdout, done.stderr, done.returncode)

    @contextlib.contextmanager
    def running_cluster(self, directory: Path) -> Iterator[None]:
        """Real nodes run on these directories, and commit all the time, while the block does."""
        process = subprocess.Popen(
            [self.program, "cluster", "--dir", directory, "--in-place", "--hold", *PAYLOADS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stderr is not None
            said = process.stderr.readline()
            try:
                if said != "ready\n":
                    raise Findings(None, said)
                yield
            finally:
                # The end of its input stops it in an orderly way, whatever has happened here.
                stdout, stderr = process.communicate(timeout=RUN_TIMEOUT_S)
            report_of(stdout, stderr, process.returncode)

    def check(self, *files: Path) -> None:
        """Have bbolt check these files. Raises Findings for the first thing that it minds."""
        self.run("check", *files)

    def dump(self, file: Path) -> Any:
        """What raft-boltdb reads in a file."""
        return self.run("dump", file)


def report_of(stdout: str, stderr: str, code: int) -> Any:
    """The report of a command that has ended. Raises Findings when it did not end well."""
    report = json.loads(stdout) if stdout else None
    if code != 0:
        raise Findings(report, stderr)
    return report


def build(name: str) -> Raftkit:
    """The build of this name, made if needed; the test that asks is skipped where it cannot be."""
    directory = cache_directory()
    program = directory / f"raftkit-{name}"
    command = [find_go(), "build", f"-modfile={MODULE_FILES[name]}", "-o", str(program), "."]
    with locked(directory / "lock"):
        done = subprocess.run(
            command,
            cwd=SOURCES,
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )
    if done.returncode != 0:
        give_up(f"{' '.join(command)} in {SOURCES} failed:\n{done.stderr}")
    return Raftkit(program)


def find_go() -> str:
    """The program `go`; the test that asks is skipped where there is none."""
    return shutil.which("go") or give_up("there is no `go` on the PATH: see https://go.dev/dl")


def give_up(reason: str) -> NoReturn:
    """Skip the test, or fail it where these tests are required."""
    if os.environ.get(REQUIRED, "") not in ("", "0"):
        pytest.fail(f"{reason}\n({REQUIRED} is set)", pytrace=False)
    pytest.skip(reason)


def cache_directory() -> Path:
    """Where programs are kept between runs: outside of this repository, but one for each clone."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    clone = hashlib.sha256(bytes(SOURCES)).hexdigest()[:12]
    directory = home / "op-conductor-tests" / clone
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock, against other workers and other runs."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
