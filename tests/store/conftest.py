"""What several tests of the store need."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def memory_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory in memory, where the system has a place for that: nothing there costs a sync."""
    in_memory = Path("/dev/shm")
    parent = in_memory if os.access(in_memory, os.W_OK) else tmp_path_factory.getbasetemp()
    with tempfile.TemporaryDirectory(dir=parent) as directory:
        yield Path(directory)


@pytest.fixture
def quick_path(memory_path: Path) -> Iterator[Path]:
    """A new directory in memory."""
    with tempfile.TemporaryDirectory(dir=memory_path) as directory:
        yield Path(directory)
