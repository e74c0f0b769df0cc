"""Holds `docs/metrics.md` to the code: what one of them has, the other has, and as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric

from conductor.core.values import ServerId
from conductor.metrics.scrape import OPEN_METRICS
from tests.metrics.nodes import Subject, open_metrics_families

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
UNITS = ("seconds", "bytes", "entries")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without code marks."""
    (section,) = re.findall(
        rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip().replace("`", "") for cell in line[1:-1].split("|")] for line in lines]


@pytest.fixture
async def families() -> list[Metric]:
    """Everything that a leader of three shows, in order."""
    subject = Subject()
    subject.instruments.probe_ended(ServerId("b"), 0.001)
    metrics = subject.metrics()
    page, _ = await metrics.scrape(OPEN_METRICS)
    metrics.close()
    return open_metrics_families(page)


def shown_name(family: Metric) -> str:
    """As it is asked for: the format names a counter without its suffix."""
    return f"{family.name}_total" if family.type == "counter" else family.name


def labels_of(family: Metric) -> set[str]:
    """The names of the labels, but for those of the format itself."""
    return {label for sample in family.samples for label in sample.labels} - {"le"}


def unit_of(name: str) -> str:
    """The unit that a name ends in."""
    return next((unit for unit in UNITS if name.endswith(f"_{unit}")), "")


def test_every_metric_is_documented_as_it_is(families: list[Metric]) -> None:
    ours = [family for family in families if family.name.startswith("op_conductor_")]
    documented = {
        row[0]: (row[1], set(re.findall(r"\w+", row[2])), row[3], row[4])
        for row in rows("What there is")
    }

    assert documented == {
        shown_name(family): (
            family.type,
            labels_of(family),
            unit_of(family.name),
            family.documentation,
        )
        for family in ours
    }


def test_every_metric_of_the_process_is_documented(families: list[Metric]) -> None:
    theirs = [family for family in families if not family.name.startswith("op_conductor_")]

    assert {row[0]: row[1] for row in rows("The process")} == {
        shown_name(family): family.type for family in theirs
    }


def test_every_metric_says_what_to_alert_on() -> None:
    tables = rows("What there is") + rows("The process")

    assert len(tables) > 30
    assert all(row[-1] for row in tables)


def test_no_metric_is_said_to_be_missing_that_is_there(families: list[Metric]) -> None:
    missing = {
        name.removesuffix("*")
        for row in rows("Names of the Go server")
        for name in re.findall(r"op_conductor_\w+\*?", row[0])
    }

    assert len(missing) == 9
    assert not missing & {shown_name(family) for family in families}
