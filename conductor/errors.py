"""Every error that leaves this package, in one tree.

    ConductorError
    |-- ConfigError                 the operator's configuration cannot work          (exit 2)
    |-- RequestError                the caller sent something that cannot be taken
    |   |-- InvalidPayload          the bytes or JSON are no execution payload; names the field
    |   |-- InvalidArgument         any other malformed input
    |   |-- TooLarge                over a documented size limit
    |   |-- NotFound                nothing is there to answer with
    |   |-- Unauthenticated         the signer or the signature is not good
    |   `-- Stale                   it speaks of an epoch or position that has passed
    |-- Refused                     the payload is not, and will never be, in the log
    |   |-- NotLeader               another server leads, or none
    |   |-- Conflict                the commit rule does not take this payload
    |   |-- Overloaded              too much is waiting already
    |   `-- TransferRefused         a hand-over cannot be made now
    |-- OutcomeUnknown              this or a later leader may still certify it
    |   |-- CommitTimeout           no quorum acknowledged in time
    |   |-- LeadershipLost          the leader stepped down meanwhile
    |   `-- ShuttingDown            the node stops
    |-- Unavailable                 this node cannot serve the request now
    |   `-- NotFormed               the cluster has no genesis yet
    |-- PeerError                   a peer broke the protocol or cannot be reached
    |   |-- PeerUnreachable
    |   `-- PeerRejected            its greeting does not fit this cluster
    |-- StoreError                  the data directory cannot be used                 (exit 7)
    |   |-- StoreDamaged            what is on disk contradicts itself
    |   |-- StoreLocked             another process uses it
    |   |-- StoreFull               no space; the write was rolled back
    |   `-- StoreMismatch           it belongs to another server, cluster or configuration
    `-- InvariantViolation          our own bug or a broken assumption: the node stops

Each class has a `code`: stable, crosses every wire, is documented in `docs/errors.md`.
The first three branches answer promise 8 of the protocol: *refused*, *refused*, *unknown*.
"""

from __future__ import annotations

from typing import ClassVar


class ConductorError(Exception):
    """The base of all errors that this project raises on purpose."""

    code: ClassVar[str] = "internal"


class ConfigError(ConductorError):
    """The configuration cannot work; the text names the option and the way out."""

    code = "config"


class RequestError(ConductorError):
    """The request is at fault: sent again unchanged, it fails again."""

    code = "invalid_request"


class InvalidPayload(RequestError):
    """The input is no execution payload envelope. `field` names the offending part."""

    code = "invalid_payload"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class InvalidArgument(RequestError):
    """A malformed argument other than a payload."""

    code = "invalid_argument"


class TooLarge(RequestError):
    """The input is over a documented size limit."""

    code = "too_large"


class NotFound(RequestError):
    """There is nothing to answer with."""

    code = "not_found"


class Unauthenticated(RequestError):
    """The signer is not a member, or the signature does not fit."""

    code = "unauthenticated"


class Stale(RequestError):
    """The message speaks of an epoch or position that has passed."""

    code = "stale"


class Refused(ConductorError):
    """The payload is not in the log and this submission will never put it there."""

    code = "refused"


class NotLeader(Refused):
    """This server does not lead. `leader_id` is the leader it knows of, or empty."""

    code = "not_leader"

    def __init__(self, message: str = "node is not the leader", *, leader_id: str = "") -> None:
        super().__init__(message)
        self.leader_id = leader_id


class Conflict(Refused):
    """The commit rule does not take this payload; the text says what was expected."""

    code = "conflict"


class Overloaded(Refused):
    """Too many payloads wait for a certificate already."""

    code = "overloaded"


class TransferRefused(Refused):
    """The leadership cannot be handed to this target now."""

    code = "transfer_refused"


class OutcomeUnknown(ConductorError):
    """This or a later leader may still certify the payload, or the transfer may still succeed."""

    code = "outcome_unknown"


class CommitTimeout(OutcomeUnknown):
    """No quorum acknowledged in time."""

    code = "commit_timeout"


class LeadershipLost(OutcomeUnknown):
    """The leader stepped down before the payload was certified or the transfer had ended."""

    code = "leadership_lost"


class ShuttingDown(OutcomeUnknown):
    """The node stops."""

    code = "shutting_down"


class Unavailable(ConductorError):
    """This node cannot serve the request now; nothing was changed."""

    code = "unavailable"


class NotFormed(Unavailable):
    """The cluster has not formed yet; the text says who is missing or disagrees."""

    code = "not_formed"


class PeerError(ConductorError):
    """A peer is at fault."""

    code = "peer"


class PeerUnreachable(PeerError):
    """No answer from the peer."""

    code = "peer_unreachable"


class PeerRejected(PeerError):
    """The peer's greeting does not fit this cluster."""

    code = "peer_rejected"


class StoreError(ConductorError):
    """The data directory cannot be used."""

    code = "store"


class StoreDamaged(StoreError):
    """What is on disk contradicts itself; the text names the way out."""

    code = "store_damaged"


class StoreLocked(StoreError):
    """Another process uses the data directory."""

    code = "store_locked"


class StoreFull(StoreError):
    """No space left; the write was rolled back and nothing changed."""

    code = "store_full"


class StoreMismatch(StoreError):
    """The data directory belongs to another server, cluster or configuration."""

    code = "store_mismatch"


class InvariantViolation(ConductorError):
    """A promise of the protocol would be broken: the node stops and keeps its disk as it is."""

    code = "invariant_violation"


def ensure(condition: bool, message: str) -> None:
    """Stop the node unless a safety condition holds. Unlike `assert` it survives `python -O`."""
    if not condition:
        raise InvariantViolation(message)
