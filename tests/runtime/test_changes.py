"""What changes is said once."""

from __future__ import annotations

from structlog.testing import capture_logs

from conductor.core.values import ServerId
from conductor.ports import MemberObservation
from conductor.runtime.changes import Changes
from conductor.runtime.monitor import Condition

WELL = Condition(serving=True, sequencer_ok=True, reasons=())
ILL = Condition(serving=False, sequencer_ok=True, reasons=("the disk is full",))


def seen(name: str, *, reachable: bool) -> MemberObservation:
    return MemberObservation(ServerId(name), reachable, reachable, False, None)


def test_fitness_is_said_when_it_changes_with_the_reasons() -> None:
    changes = Changes()

    with capture_logs() as lines:
        for condition in (ILL, ILL, WELL, WELL, ILL, ILL, WELL):
            changes.condition(condition)

    assert [(line["event"], line["log_level"], line.get("reasons")) for line in lines] == [
        ("serving_began", "info", None),
        ("serving_ended", "warning", ["the disk is full"]),
        ("serving_began", "info", None),
    ]


def test_each_peer_is_said_when_it_comes_and_when_it_goes() -> None:
    changes = Changes()

    with capture_logs() as lines:
        for b_reachable in (False, True, True, False, False, True):
            changes.peers((seen("b", reachable=b_reachable), seen("c", reachable=True)))

    assert [(line["event"], line["peer"]) for line in lines] == [
        ("peer_reached", "c"),
        ("peer_reached", "b"),
        ("peer_lost", "b"),
        ("peer_reached", "b"),
    ]
