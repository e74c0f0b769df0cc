"""What every end-to-end test gets: a directory of its own, and the nodes' logs when it fails."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

_LOG_LINES_SHOWN = 60


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes run in the test's directory, as in a terminal of their own, and find the program."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of every log beside the failure."""
    report = yield
    directory = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and directory is not None:
        for log in sorted(directory.rglob("*.log")):
            lines = log.read_text("utf-8", errors="replace").splitlines()
            report.sections.append((f"the end of {log.name}", "\n".join(lines[-_LOG_LINES_SHOWN:])))
    return report
