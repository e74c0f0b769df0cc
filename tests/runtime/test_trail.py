"""The trail of entries: one key on every line, and no line when nobody wants it."""

from __future__ import annotations

import logging
from typing import cast

import structlog
from structlog.testing import capture_logs
from structlog.typing import EventDict

from conductor.config import Address, Config
from conductor.core.effects import Effects
from conductor.core.events import (
    Designated,
    Event,
    MessageReceived,
    PayloadSubmitted,
    WriteCompleted,
)
from conductor.core.machine import Machine
from conductor.core.values import BlockReference, Height, ServerId
from conductor.runtime.member import machine_of
from conductor.runtime.outgoing import signed
from conductor.runtime.trail import Trail
from tests.runtime.kit import formed_store, hash_of, signer_of

BLOCK = BlockReference(Height(9), bytes.fromhex("a1b2c3d4") + bytes(28), bytes(32))
BODY = b"the body of a payload"


class LoneLeader:
    """A cluster of one, whose disk and voice are at once there, and its trail."""

    def __init__(self) -> None:
        config = Config(server_id="a", grpc_advertise=Address("a", 18080))
        self.machine: Machine = machine_of(formed_store(1).load(), config)
        self.trail = Trail(self.machine)
        self.now_ms = 1000
        self.take(Designated(ServerId("a"), "test"))

    def take(self, event: Event) -> None:
        """Take an event and all that follows from it."""
        events = [event]
        while events:
            effects = self.machine.step(events.pop(0), self.now_ms)
            self.trail.note(effects)
            events += self._following(effects)

    def _following(self, effects: Effects) -> list[Event]:
        node = self.machine.node
        own: list[Event] = [
            MessageReceived(node.key, signed(send.message, signer_of("a"), node.cluster_id))
            for send in effects.sends
        ]
        return [*own, *(WriteCompleted(write.sequence) for write in effects.writes)]

    def commit(self) -> None:
        """Have a payload certified."""
        self.trail.submitted(BLOCK, len(BODY))
        self.take(PayloadSubmitted(1, hash_of(BODY), len(BODY), BLOCK))


def key_of(event: EventDict) -> dict[str, object]:
    return {name: event.get(name) for name in ("block", "height", "index", "epoch")}


def test_payload_leaves_one_key_from_its_proposal_to_its_certificate() -> None:
    with capture_logs() as lines:
        leader = LoneLeader()
        lines.clear()
        leader.commit()

    assert [line["event"] for line in lines] == [
        "commit_received",
        "entry_proposed",
        "entry_acknowledged",
        "entry_certified",
    ]
    assert {line["log_level"] for line in lines} == {"debug"}
    assert [key_of(line) for line in lines[1:]] == [
        {"block": "0xa1b2c3d4", "height": 9, "index": 2, "epoch": 1}
    ] * 3
    assert key_of(lines[0]) == {"block": "0xa1b2c3d4", "height": 9, "index": None, "epoch": 1}
    assert lines[0]["size_bytes"] == len(BODY)


def test_beginning_of_an_epoch_is_followed_too() -> None:
    with capture_logs() as lines:
        LoneLeader()

    assert [(line["event"], line["kind"], line["index"]) for line in lines] == [
        (event, "epoch_start", 1)
        for event in ("entry_proposed", "entry_acknowledged", "entry_certified")
    ]


def test_nothing_is_said_at_info_level() -> None:
    said: list[object] = []
    structlog.configure(
        processors=[lambda *line: said.append(line) or ""],  # type: ignore[func-returns-value]
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    try:
        leader = LoneLeader()
        leader.commit()
        leader.trail.note(cast(Effects, None))  # It does not even look.
    finally:
        structlog.reset_defaults()

    assert said == []
