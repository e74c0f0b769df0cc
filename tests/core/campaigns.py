"""What the others answer to a candidate."""

from __future__ import annotations

from conductor.core.log import Log
from conductor.core.messages import (
    FetchAnswer,
    FetchRequest,
    LogReport,
    PrePromiseAnswer,
    PromiseGrant,
    PromiseRefusal,
    PromiseRequest,
)
from conductor.core.values import (
    Entry,
    Epoch,
    Index,
    Position,
)
from tests.core.builders import (
    a_genesis,
    a_report,
    beginning,
)
from tests.core.subject import Subject


def reporting(last: Position, certified: Position | None = None) -> LogReport:
    """A report of a log that ends there."""
    return LogReport(last, certified or beginning(), Index(0))


def encourage(
    subject: Subject, name: str, report: LogReport | None = None, promised: int = 0
) -> None:
    """A member would promise."""
    answer = PrePromiseAnswer(
        subject.nonce, True, Epoch(promised), "", report or a_report(subject.log)
    )
    subject.hear(name, answer)


def discourage(subject: Subject, name: str, report: LogReport | None = None) -> None:
    """A member would not promise."""
    answer = PrePromiseAnswer(
        subject.nonce, False, Epoch(0), "not now", report or a_report(subject.log)
    )
    subject.hear(name, answer)


def grant(subject: Subject, name: str, report: LogReport | None = None) -> None:
    """A member promises what the subject asked for."""
    asked = subject.sent(PromiseRequest, name)[-1]
    subject.hear(name, PromiseGrant(asked.epoch, asked.nonce, report or a_report(subject.log)))


def refuse(subject: Subject, name: str, promised: int = 0, reason: str = "no") -> None:
    """A member refuses what the subject asked for."""
    asked = subject.sent(PromiseRequest)[-1]
    subject.hear(name, PromiseRefusal(asked.epoch, asked.nonce, Epoch(promised), reason))


def campaigning(count: int = 3, *, log: Log | None = None, promise: int = 0) -> Subject:
    """The node "a", which has just asked everybody for promises."""
    subject = Subject("a", genesis=a_genesis(count), log=log, promise=(promise, ""))
    subject.designate()
    for name in subject.others[: count // 2]:
        encourage(subject, name)
    subject.sync()
    assert subject.sent(PromiseRequest)
    return subject


def answer_fetch(subject: Subject, name: str, entries: tuple[Entry, ...]) -> None:
    """A member sends what it was asked for last."""
    asked = subject.sent(FetchRequest, name)[-1]
    subject.hear(name, FetchAnswer(asked.nonce, entries))
