"""Tools of others from npm, which judge ours: fetched once, and kept outside of this repository.

They are pinned, so that a test that fails has found a change of ours. Nothing that a package wants
to run when it is installed is run.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

REQUIRED = "OP_CONDUCTOR_REQUIRE_TOOLS"
"""The environment variable that turns tools that are missing into a failure."""

PACKAGES = ("@foundry-rs/cast@1.7.1", "@open-rpc/meta-schema@1.14.9")

INSTALL_TIMEOUT_S = 300
"""60 MB have to come over the network, once."""


def installed() -> Path:
    """The folder with the packages, made if needed; the test that asks is skipped without them."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        give_up("there is no `node` with its `npm` on the PATH: see https://nodejs.org")
    directory = cache_directory()
    complete = directory / "complete"
    with (directory / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            install(npm, directory)
            complete.touch()
    return directory / "node_modules"


def install(npm: str, directory: Path) -> None:
    """Have npm fetch the packages into a folder of their own."""
    options = ("--no-audit", "--no-fund", "--no-save", "--ignore-scripts")
    command = [npm, "install", "--prefix", str(directory), *options, *PACKAGES]
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        give_up(str(error))
    if done.returncode != 0:
        give_up(f"{' '.join(command)} failed:\n{done.stderr}")


def cast() -> Path:
    """Foundry's `cast`, as built for this machine."""
    programs = sorted((installed() / "@foundry-rs").glob("cast-*/bin/cast*"))
    if not programs:
        give_up("@foundry-rs/cast is not built for this machine")
    return programs[0]


def give_up(reason: str) -> NoReturn:
    """Skip the test, or fail it where these tests are required."""
    if os.environ.get(REQUIRED, "") not in ("", "0"):
        pytest.fail(f"{reason}\n({REQUIRED} is set)", pytrace=False)
    pytest.skip(reason)


def cache_directory() -> Path:
    """Where these very packages are kept between runs, for all clones."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    pins = hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()[:12]
    directory = home / "op-conductor-tests" / f"npm-{pins}"
    directory.mkdir(parents=True, exist_ok=True)
    return directory
