"""Holds `docs/logs.md` to the code: every event, with its level and its fields."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEVELS = ("debug", "info", "warning", "error", "exception")
FIELD_OF = {"exc_info": "exception"}
OPEN_ENDED = "**"
"""Stands for fields that a function gives: those are held to the page where lines are seen."""


@dataclass(frozen=True)
class Line:
    """A call that logs."""

    place: str
    event: str
    level: str
    fields: frozenset[str] = field(default_factory=frozenset)


def logged_in(path: str, source: str) -> Iterator[Line]:
    """Every call that logs. An event that is not a plain text is named by its code."""
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        function, place = call.func, f"{path}:{call.lineno}"
        if isinstance(function, ast.Name) and function.id == "_record" and "observab" in path:
            level = ast.unparse(call.args[0]).rpartition(".")[2].lower()
            yield Line(place, events_of(call.args[1])[0], level, frozenset({OPEN_ENDED}))
        if not isinstance(function, ast.Attribute) or function.attr not in LEVELS:
            continue
        if not isinstance(function.value, ast.Name) or function.value.id != "logger":
            continue
        fields = {keyword.arg or OPEN_ENDED for keyword in call.keywords}
        fields = {FIELD_OF.get(name, name) for name in fields}
        if function.attr == "exception":
            fields.add("exception")
        level = "error" if function.attr == "exception" else function.attr
        for event in events_of(call.args[0]):
            yield Line(place, event, level, frozenset(fields))


def events_of(argument: ast.expr) -> list[str]:
    """The event, or both of a choice."""
    if isinstance(argument, ast.IfExp):
        return events_of(argument.body) + events_of(argument.orelse)
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return [argument.value]
    return [ast.unparse(argument)]


def lines_of_the_product() -> list[Line]:
    """Every line that the conductor can log."""
    return [
        line
        for file in sorted((ROOT / "conductor").rglob("*.py"))
        for line in logged_in(file.relative_to(ROOT).as_posix(), file.read_text("utf-8"))
    ]


def documented() -> dict[str, tuple[str, frozenset[str]]]:
    """Level and fields by event."""
    page = (ROOT / "docs" / "logs.md").read_text("utf-8")
    rows = [line[1:-1].split("|") for line in page.splitlines() if line.startswith("| `")]
    assert all(row[3].strip() for row in rows), "an event without a meaning"
    events = {
        row[0].strip(" `"): (row[1].strip(), frozenset(re.findall(r"`(\w+)`", row[2])))
        for row in rows
    }
    assert len(events) == len(rows), "an event has two rows"
    return events


def test_every_event_is_a_name() -> None:
    odd = [line for line in lines_of_the_product() if not re.fullmatch(r"[a-z_]+", line.event)]

    assert not odd


def test_every_event_is_documented_and_every_documented_event_is_logged() -> None:
    assert {line.event for line in lines_of_the_product()} == set(documented())


def test_every_event_has_the_documented_level_and_fields() -> None:
    page = documented()
    for line in lines_of_the_product():
        level, fields = page[line.event]
        assert line.level == level, line
        named = line.fields - {OPEN_ENDED}
        assert named <= fields if OPEN_ENDED in line.fields else named == fields, line


def test_nothing_logs_past_the_names() -> None:
    """No module logs through the standard library, or another variable than `logger`."""
    other = re.compile(
        r"logging\.(debug|info|warning|error|critical)\(|^(?!logger )\w+ = .*get_logger"
    )
    found = [
        f"{file.relative_to(ROOT)}: {line}"
        for file in sorted((ROOT / "conductor").rglob("*.py"))
        for line in file.read_text("utf-8").splitlines()
        if other.search(line)
    ]

    assert not found


def test_calls_that_log_are_found() -> None:
    source = (
        'logger.info("a", x=1)\n'
        'logger.exception("b" if y else "c")\n'
        'logger.error("d", exc_info=error, **more)\n'
        "logger.debug(f'e {x}')\n"
    )

    assert list(logged_in("p.py", source)) == [
        Line("p.py:1", "a", "info", frozenset({"x"})),
        Line("p.py:2", "b", "error", frozenset({"exception"})),
        Line("p.py:2", "c", "error", frozenset({"exception"})),
        Line("p.py:3", "d", "error", frozenset({"exception", OPEN_ENDED})),
        Line("p.py:4", "f'e {x}'", "debug", frozenset()),
    ]
