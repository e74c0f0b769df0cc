"""Everything that can happen to the core. One event goes in, one `Effects` comes out."""

from __future__ import annotations

from dataclasses import dataclass

from conductor.core.messages import Message
from conductor.core.values import BlockReference, MemberKey, ServerId


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A member said something. Hashes, signatures and the cluster id were checked before."""

    sender: MemberKey
    message: Message
    reply_to: int = 0
    """Names the open call that an answer belongs to; 0 when there is none. Opaque to the core."""


@dataclass(frozen=True, slots=True)
class WriteCompleted:
    """The write of that sequence number, and all before it, are durable."""

    sequence: int


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """The time that `next_deadline_ms` named has come."""


@dataclass(frozen=True, slots=True)
class Designated:
    """The epoch manager's word that this server should lead. Repeated while it holds."""

    server_id: ServerId
    reason: str


@dataclass(frozen=True, slots=True)
class PayloadSubmitted:
    """The sequencer wants a payload certified. Answered by exactly one commit notice."""

    request_id: int
    body_hash: bytes
    body_size: int
    block: BlockReference


@dataclass(frozen=True, slots=True)
class RequestAbandoned:
    """Nobody waits for that request any more. Its effects go on."""

    request_id: int


@dataclass(frozen=True, slots=True)
class ReadRequested:
    """Someone wants the certified index as of now, not as of a past leadership."""

    request_id: int


@dataclass(frozen=True, slots=True)
class HandOverRequested:
    """Pass the leadership to `target`, or to the best member when it is None."""

    request_id: int
    target: ServerId | None
    reason: str
    timeout_ms: int
    force: bool = False
    """Also to a target that says it is not fit to lead."""


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A replication stream to that server is open: nothing sent before it counts as in flight."""

    server_id: ServerId


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    """The replication stream to that server broke: what was in flight may be lost."""

    server_id: ServerId


@dataclass(frozen=True, slots=True)
class PeerDied:
    """That server's machine refuses connections: its process is gone."""

    server_id: ServerId


@dataclass(frozen=True, slots=True)
class FitnessChanged:
    """What this node's own monitors say of it. Sent at start and at every change."""

    serving: bool
    """Fit to lead."""
    sequencer_ok: bool
    """Its sequencer is healthy, or it has none."""
    paused: bool = False
    """An operator keeps it from being handed the leadership."""


@dataclass(frozen=True, slots=True)
class PeerFitnessChanged:
    """What the probes say of another server: whether it is fit to lead."""

    server_id: ServerId
    serving: bool


@dataclass(frozen=True, slots=True)
class SequencerStarted:
    """This conductor started its sequencer on top of that block: it builds on nothing older."""

    block_hash: bytes


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The node is about to stop: give up what it leads, write down what its disk lacks."""


Event = (
    MessageReceived
    | WriteCompleted
    | DeadlineReached
    | Designated
    | PayloadSubmitted
    | RequestAbandoned
    | ReadRequested
    | HandOverRequested
    | PeerConnected
    | PeerDisconnected
    | PeerDied
    | FitnessChanged
    | PeerFitnessChanged
    | SequencerStarted
    | StopRequested
)
