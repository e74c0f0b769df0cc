"""One machine under test, with the time and a disk in the hands of the test.

Nothing is durable before `sync`, nothing is heard before `hear`: each test sees what has left
before the disk was done, and what had to wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from conductor.core.certificate import Acknowledgement
from conductor.core.effects import Effects, Notice, Operation, Write
from conductor.core.events import (
    DeadlineReached,
    Designated,
    Event,
    FitnessChanged,
    MessageReceived,
    PayloadSubmitted,
    PeerFitnessChanged,
    WriteCompleted,
)
from conductor.core.log import Log
from conductor.core.machine import Machine
from conductor.core.messages import (
    Acknowledged,
    Append,
    Heard,
    Message,
    PrePromiseAnswer,
    PrePromiseRequest,
    PromiseGrant,
    PromiseRequest,
)
from conductor.core.node import Settings
from conductor.core.values import (
    BlockReference,
    Epoch,
    Genesis,
    Index,
    MemberKey,
    Promise,
    ServerId,
)
from tests.core.builders import a_base, a_genesis, a_report, key_of, sha256

Kind = TypeVar("Kind")


def merged(parts: Iterable[Effects]) -> Effects:
    """Several steps' effects as one."""
    parts = list(parts)
    return Effects(
        tuple(send for part in parts for send in part.sends),
        tuple(write for part in parts for write in part.writes),
        tuple(notice for part in parts for notice in part.notices),
    )


def sent(effects: Effects, kind: type[Kind], to: str | None = None) -> list[Kind]:
    """The messages of a kind that went out, to one member or to all."""
    return [
        send.message
        for send in effects.sends
        if isinstance(send.message, kind) and to in (None, send.to)
    ]


def noticed(effects: Effects, kind: type[Kind]) -> list[Kind]:
    """The notices of a kind."""
    notices: tuple[Notice, ...] = effects.notices
    return [notice for notice in notices if isinstance(notice, kind)]


def written(effects: Effects, kind: type[Kind]) -> list[Kind]:
    """The operations of a kind that were handed to the disk."""
    operations: list[Operation] = [
        operation for write in effects.writes for operation in write.operations
    ]
    return [operation for operation in operations if isinstance(operation, kind)]


class Subject:
    """A machine with the time, and a disk that finishes nothing until `sync`."""

    def __init__(
        self,
        name: str = "a",
        *,
        genesis: Genesis | None = None,
        log: Log | None = None,
        promise: tuple[int, str] = (0, ""),
        settings: Settings | None = None,
    ) -> None:
        self.genesis = genesis or a_genesis()
        epoch, promised_to = promise
        self.machine = Machine(
            key=key_of(name),
            cluster_id=self.genesis.cluster_id,
            settings=settings or Settings(),
            log=log or Log(a_base(genesis=self.genesis)),
            promise=Promise(Epoch(epoch), key_of(promised_to) if promised_to else None),
        )
        self.name = name
        self.now_ms = 1_000_000
        self.pending: list[Write] = []
        self.history: list[Effects] = []
        self.take(FitnessChanged(serving=True, sequencer_ok=True))
        for member in self.genesis.voters:
            self.take(PeerFitnessChanged(member.server_id, serving=True))

    @property
    def log(self) -> Log:
        """The machine's own log."""
        return self.machine.node.log

    @property
    def others(self) -> list[str]:
        """The names of the other voters."""
        return [voter.server_id for voter in self.genesis.voters if voter.server_id != self.name]

    # Events

    def take(self, event: Event) -> Effects:
        """One step, and what the machine says to itself right after."""
        effects = self.machine.step(event, self.now_ms)
        self.pending.extend(effects.writes)
        parts = [effects]
        parts.extend(
            self.take(MessageReceived(self.machine.node.key, send.message))
            for send in effects.sends
            if send.to == self.name
        )
        self.history.append(effects)
        return merged(parts)

    def hear(self, sender: str | MemberKey, message: Message, reply_to: int = 0) -> Effects:
        """A member said something."""
        key = key_of(sender) if isinstance(sender, str) else sender
        return self.take(MessageReceived(key, message, reply_to))

    def sync(self) -> Effects:
        """The disk finishes everything, also what the machine writes meanwhile."""
        parts = []
        while self.pending:
            write = self.pending.pop(0)
            parts.append(self.take(WriteCompleted(write.sequence)))
        return merged(parts)

    def sync_one(self) -> Effects:
        """The disk finishes its oldest write."""
        return self.take(WriteCompleted(self.pending.pop(0).sequence))

    def jump(self, duration_ms: int) -> Effects:
        """Time passes in which the machine was not looked at; then it is."""
        self.now_ms += duration_ms
        return self.take(DeadlineReached())

    def pass_time(self, duration_ms: int, *, sync: bool = True, heard_by: str = "") -> Effects:
        """Time passes; the machine is looked at whenever it wants to be.

        The voters named in `heard_by` answer every Append with no more than that they heard it.
        """
        end_ms = self.now_ms + duration_ms
        parts = []
        while (deadline_ms := self.machine.next_deadline_ms()) <= end_ms:
            self.now_ms = max(self.now_ms, deadline_ms)
            part = self.take(DeadlineReached())
            parts.append(part)
            for name in heard_by:
                for append in sent(part, Append, name):
                    parts.append(self.hear(name, Heard(append.epoch, append.sequence)))
            if sync:
                parts.append(self.sync())
        self.now_ms = end_ms
        return merged(parts)

    def sent(self, kind: type[Kind], to: str | None = None) -> list[Kind]:
        """All messages of a kind that ever went out."""
        return sent(merged(self.history), kind, to)

    # Leading

    @property
    def nonce(self) -> int:
        """The nonce of the newest campaign."""
        return self.sent(PrePromiseRequest)[-1].nonce

    def designate(self, name: str = "", reason: str = "a test") -> Effects:
        """The epoch manager names a server, this one if none is given."""
        return self.take(Designated(ServerId(name or self.name), reason))

    def be_promised(self, voters: Iterable[str] | None = None) -> Effects:
        """These voters, all others if none are given, grant what the machine asked for last."""
        parts = []
        for voter in self.others if voters is None else voters:
            request = self.sent(PromiseRequest, voter)[-1]
            grant = PromiseGrant(request.epoch, request.nonce, a_report(self.log))
            parts.append(self.hear(voter, grant))
        return merged(parts)

    def be_encouraged(self, voters: Iterable[str] | None = None) -> Effects:
        """These voters, all others if none are given, answer that they would promise."""
        parts = []
        for voter in self.others if voters is None else voters:
            nonce = self.sent(PrePromiseRequest, voter)[-1].nonce
            answer = PrePromiseAnswer(nonce, True, Epoch(0), "", a_report(self.log))
            parts.append(self.hear(voter, answer))
        return merged(parts)

    def win(self) -> Effects:
        """Campaign and lead; nobody has acknowledged the epoch start yet."""
        parts = [self.designate(), self.be_encouraged(), self.sync(), self.be_promised()]
        return merged([*parts, self.sync()])

    def lead(self) -> Effects:
        """Campaign, lead, and be established."""
        return merged([self.win(), *(self.acknowledge(name) for name in self.others)])

    def acknowledge(self, name: str, index: int = 0, sequence: int = -1) -> Effects:
        """A member acknowledges an entry, the newest one it was sent if none is given."""
        appends = [append for append in self.sent(Append, name) if append.entries]
        entry = self.log.entry(Index(index)) if index else appends[-1].entries[-1]
        assert entry is not None
        assert self.machine.leadership is not None
        acknowledgement = Acknowledgement(
            key_of(name), self.machine.leadership.epoch, entry.index, entry.digest, b"signed"
        )
        answered = appends[-1].sequence if sequence < 0 else sequence
        return self.hear(name, Acknowledged(answered, acknowledgement))

    def submit(self, block: BlockReference, request_id: int = 1, size: int = 100) -> Effects:
        """The sequencer brings a block."""
        body_hash = sha256(f"body of {block.block_hash.hex()}")
        return self.take(PayloadSubmitted(request_id, body_hash, size, block))


def a_leader(
    count: int = 3,
    *,
    log: Log | None = None,
    promise: tuple[int, str] = (0, ""),
    settings: Settings | None = None,
) -> Subject:
    """The node "a", established in the epoch after its promise, with a synced disk."""
    subject = Subject(genesis=a_genesis(count), log=log, promise=promise, settings=settings)
    subject.lead()
    assert subject.machine.is_established
    return subject
