"""Promise 8: every request ends exactly once, and its end is true.

Certified: the very payload is certified at that index. Refused: no log ever holds it. Unknown:
anything. A read never misses what was certified when it was asked for. A peer's call is answered
at most once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from conductor.core.effects import (
    CommitCertified,
    HandOverDone,
    Notice,
    ReadReady,
    RequestFailed,
    Send,
)
from conductor.core.events import (
    Event,
    HandOverRequested,
    MessageReceived,
    PayloadSubmitted,
    ReadRequested,
    RequestAbandoned,
)
from conductor.core.messages import Append, InstallBase
from conductor.core.values import Index, ServerId
from conductor.errors import ConductorError, OutcomeUnknown, Refused
from conductor.simulation.checkers.certificates import Certificates
from conductor.simulation.checkers.checker import Checker, fail
from conductor.simulation.checkers.history import History
from conductor.simulation.node import SimulatedNode

Asked = PayloadSubmitted | ReadRequested | HandOverRequested


@dataclass(slots=True)
class _Open:
    event: Asked
    life: int
    certified: Index
    """What had been answered as certified, anywhere, when it was asked."""
    abandoned: bool = False
    """Nobody waits any more: an answer may still come, or not."""


class Answers(Checker):
    """Follows requests from when they are asked to when they are answered."""

    def __init__(self, history: History, certificates: Certificates) -> None:
        self._history = history
        self._certificates = certificates
        self._open: dict[tuple[ServerId, int], _Open] = {}
        self._calls: dict[tuple[ServerId, int], tuple[ServerId, bool]] = {}
        self._refused_bodies: set[bytes] = set()
        self._taken_bodies: set[bytes] = set()
        self._answered = Index(0)
        self.certified_commits = 0
        self.hand_overs_done = 0

    # Requests

    def on_event(self, node: SimulatedNode, event: Event) -> None:
        """Note what is asked."""
        server_id = node.key.server_id
        if isinstance(event, MessageReceived):
            if event.reply_to:
                is_bulk = isinstance(event.message, Append | InstallBase)
                self._calls[server_id, event.reply_to] = (event.sender.server_id, is_bulk)
        elif isinstance(event, PayloadSubmitted | ReadRequested | HandOverRequested):
            self._open[server_id, event.request_id] = _Open(event, node.life, self._answered)
        elif isinstance(event, RequestAbandoned):
            asked = self._open.get((server_id, event.request_id))
            if asked is not None:
                asked.abandoned = True

    def on_notice(self, node: SimulatedNode, notice: Notice) -> None:
        """Check an answer against what was asked."""
        if isinstance(notice, CommitCertified | ReadReady | HandOverDone | RequestFailed):
            if notice.request_id == 0:
                return
            asked = self._open.pop((node.key.server_id, notice.request_id), None)
            if asked is None:
                fail("one answer each", f"{notice} of {node.key.server_id} answers nothing")
            self._judge(asked, notice)

    def _judge(
        self, asked: _Open, notice: CommitCertified | ReadReady | HandOverDone | RequestFailed
    ) -> None:
        event = asked.event
        match notice:
            case CommitCertified() if isinstance(event, PayloadSubmitted):
                self._judge_commit(event, notice)
            case ReadReady() if isinstance(event, ReadRequested):
                if notice.certified.index < asked.certified:
                    fail("reads are linearizable", f"{asked.certified} was certified before")
            case HandOverDone() if isinstance(event, HandOverRequested):
                self.hand_overs_done += 1
            case RequestFailed(_, error):
                self._judge_failure(event, error)
            case _:
                fail("one answer each", f"{notice} does not answer {event}")

    def _judge_commit(self, event: PayloadSubmitted, notice: CommitCertified) -> None:
        self.certified_commits += 1
        self._taken_bodies.add(event.body_hash)
        self._answered = max(self._answered, notice.index)
        digest = self._certificates.certified.get(notice.index)
        entry = next(self._history.back_from(digest), None) if digest is not None else None
        if entry is None or entry.body_hash != event.body_hash or entry.epoch != notice.epoch:
            fail("success means certified", f"the payload is not certified at {notice.index}")

    def _judge_failure(self, event: Asked, error: ConductorError) -> None:
        if isinstance(error, Refused):
            if isinstance(event, PayloadSubmitted):
                self._refused_bodies.add(event.body_hash)
        elif isinstance(error, OutcomeUnknown):
            if isinstance(event, PayloadSubmitted):
                self._taken_bodies.add(event.body_hash)
        else:
            fail("an error says which outcome", f"{type(error).__name__} is neither")

    # Calls of peers

    def on_send(self, node: SimulatedNode, send: Send) -> None:
        """A call is answered to whoever made it, once."""
        if not send.reply_to:
            return
        caller = self._calls.pop((node.key.server_id, send.reply_to), None)
        if caller is None or caller[0] != send.to:
            fail("one answer each", f"{node.key.server_id} answers a call twice, or another's")

    # The end

    def on_boot(self, node: SimulatedNode) -> None:
        """Nobody waits for the dead."""
        server_id = node.key.server_id
        self._calls = {place: call for place, call in self._calls.items() if place[0] != server_id}
        for place, asked in self._open.items():
            if place[0] == server_id:
                asked.abandoned = True

    @property
    def superseded_acknowledgements(self) -> int:
        """How many Appends a node took and, for a newer promise or entry, never acknowledged."""
        return sum(is_bulk for _, is_bulk in self._calls.values())

    def at_end(self, nodes: Sequence[SimulatedNode]) -> None:
        """Every request has been answered, and what was refused is nowhere."""
        lives = {node.key.server_id: node.life for node in nodes if node.is_up}
        for (server_id, request_id), asked in self._open.items():
            if isinstance(asked.event, PayloadSubmitted):
                self._taken_bodies.add(asked.event.body_hash)
            if lives.get(server_id) == asked.life and not asked.abandoned:
                fail("every request ends", f"{server_id} never answered {request_id}")
        refused = self._refused_bodies - self._taken_bodies
        for node in nodes:
            for entry in node.disk.entries:
                if entry.body_hash in refused:
                    fail("refused means never", f"{node.key.server_id} holds it at {entry.index}")
