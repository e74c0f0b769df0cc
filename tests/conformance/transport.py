"""What every `PeerTransport` must do, whatever carries its messages.

Subclass `TransportConformance` in a test module and give it a fixture `sides`: three members, all
connected.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from conductor.core.encoding import sha256
from conductor.core.messages import (
    Append,
    Heard,
    LogReport,
    Message,
    PrePromiseAnswer,
    PrePromiseRequest,
)
from conductor.core.values import Digest, Epoch, Index, MemberKey, Position, ServerId
from conductor.ports import Bodies, PeerTransport

ORIGIN = Position(Index(0), Epoch(0), Digest(sha256(b"origin")))
REPORT = LogReport(ORIGIN, ORIGIN, Index(0))


class Delivery(Protocol):
    """What an inbox was given."""

    @property
    def sender(self) -> MemberKey:
        """Who spoke."""

    @property
    def message(self) -> Message:
        """What it said."""

    @property
    def bodies(self) -> Bodies:
        """What came with it."""

    @property
    def reply_to(self) -> int:
        """What an answer must name."""


@dataclass(slots=True)
class Side:
    """One member: its transport, and what its inbox was given so far."""

    key: MemberKey
    transport: PeerTransport
    received: Callable[[], list[Delivery]]
    until: Callable[[Callable[[], bool]], Awaitable[None]]
    """Waits until a condition on any side holds, or fails."""
    cut_off: Callable[[], Awaitable[None]] = field(repr=False)
    """Makes it unreachable for the others."""

    @property
    def server_id(self) -> ServerId:
        """Its name."""
        return self.key.server_id


Sides = tuple[Side, Side, Side]


def heartbeat(sequence: int) -> Append:
    """An Append without entries."""
    return Append(Epoch(1), sequence, ORIGIN, (), None, sequencer_ok=True)


class TransportConformance:
    """The suite."""

    async def test_messages_to_a_member_arrive_in_order(self, sides: Sides) -> None:
        near, far, _ = sides
        sent = [heartbeat(sequence) for sequence in range(1, 51)]
        for message in sent:
            near.transport.send(far.server_id, message, {}, 0)
        await far.until(lambda: len(far.received()) == len(sent))

        assert [delivery.message for delivery in far.received()] == sent
        assert {delivery.sender for delivery in far.received()} == {near.key}

    async def test_each_member_gets_its_own(self, sides: Sides) -> None:
        near, far, other = sides
        near.transport.send(far.server_id, heartbeat(1), {}, 0)
        near.transport.send(other.server_id, heartbeat(2), {}, 0)
        await far.until(lambda: len(far.received()) == 1)
        await other.until(lambda: len(other.received()) == 1)

        assert far.received()[0].message == heartbeat(1)
        assert other.received()[0].message == heartbeat(2)
        assert near.received() == []

    async def test_an_answer_goes_back_to_who_asked(self, sides: Sides) -> None:
        near, far, other = sides
        for asker, nonce in ((near, 1), (other, 2)):
            asker.transport.send(far.server_id, PrePromiseRequest(Epoch(1), nonce), {}, 0)
        await far.until(lambda: len(far.received()) == 2)
        for delivery in far.received():
            assert isinstance(delivery.message, PrePromiseRequest)
            assert delivery.reply_to != 0
            answer = PrePromiseAnswer(delivery.message.nonce, True, Epoch(0), "", REPORT)
            far.transport.send(delivery.sender.server_id, answer, {}, delivery.reply_to)
        await near.until(lambda: len(near.received()) == 1)
        await other.until(lambda: len(other.received()) == 1)

        for asker, nonce in ((near, 1), (other, 2)):
            (delivery,) = asker.received()
            assert delivery.sender == far.key
            assert delivery.message == PrePromiseAnswer(nonce, True, Epoch(0), "", REPORT)
            assert delivery.reply_to == 0

    async def test_an_append_is_answered_on_its_way_back(self, sides: Sides) -> None:
        near, far, _ = sides
        near.transport.send(far.server_id, heartbeat(1), {}, 0)
        await far.until(lambda: len(far.received()) == 1)
        (delivery,) = far.received()
        far.transport.send(near.server_id, Heard(Epoch(1), 1), {}, delivery.reply_to)
        await near.until(lambda: len(near.received()) == 1)

        assert near.received()[0].message == Heard(Epoch(1), 1)

    async def test_what_cannot_be_delivered_is_dropped(self, sides: Sides) -> None:
        near, far, other = sides
        await far.cut_off()
        for sequence in range(1, 200):
            near.transport.send(far.server_id, heartbeat(sequence), {}, 0)
            near.transport.send(ServerId("nobody"), heartbeat(sequence), {}, 0)
            near.transport.send(far.server_id, Heard(Epoch(1), sequence), {}, 2**62)
        near.transport.send(other.server_id, heartbeat(1000), {}, 0)
        await other.until(lambda: len(other.received()) == 1)

        assert far.received() == []
