"""Go programs of others, and ours that use libraries of others, as clients of real nodes.

They are pinned, so that a test that fails has found a change of ours; built once, and kept outside
of this repository.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.interop.go import BUILD_TIMEOUT_S, cache_directory, give_up, locked

GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl"
GRPCURL_VERSION = "v1.9.4"

GETHCLIENT = Path(__file__).resolve().parent / "gethclient"


def grpcurl() -> Path:
    """`grpcurl`, installed if needed; the test that asks is skipped where it cannot be."""
    directory = cache_directory() / f"grpcurl-{GRPCURL_VERSION}"
    with locked(cache_directory() / "lock"):
        # A version is for ever: nothing has to be asked of anybody once it is here.
        if not (directory / "grpcurl").exists():
            command = ["install", f"{GRPCURL}@{GRPCURL_VERSION}"]
            go(command, cache_directory(), {"GOBIN": str(directory)})
    return directory / "grpcurl"


def gethclient() -> Path:
    """Our program with go-ethereum's `rpc` client, built if needed; else the test is skipped."""
    program = cache_directory() / "gethclient"
    with locked(cache_directory() / "lock"):
        go(["build", "-o", str(program), "."], GETHCLIENT, {})
    return program


def go(arguments: Sequence[str], directory: Path, environment: Mapping[str, str]) -> None:
    """Run a command of Go to its good end, or give up."""
    program = shutil.which("go")
    if program is None:
        give_up("there is no `go` on the PATH: see https://go.dev/dl")
    try:
        done = subprocess.run(
            [program, *arguments],
            cwd=directory,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        give_up(str(error))
    if done.returncode != 0:
        give_up(f"go {' '.join(arguments)} in {directory} failed:\n{done.stderr}")
