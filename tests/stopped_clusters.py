"""Stores of a cluster that stands still, each with the log that a test gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conductor.core.certificate import Acknowledgement, Certificate
from conductor.core.effects import (
    AppendEntries,
    Operation,
    Prune,
    RaiseCertified,
    RaisePromise,
    Write,
)
from conductor.core.encoding import sha256
from conductor.core.founding import Founding
from conductor.core.values import (
    Base,
    BlockReference,
    Entry,
    EntryKind,
    Epoch,
    EpochStart,
    Genesis,
    Head,
    Height,
    Incarnation,
    Index,
    Member,
    MemberKey,
    Position,
    Promise,
    ServerId,
)
from conductor.payload import encode, payload_header
from conductor.store import open_store
from tests.payload.builders import an_envelope


def ssz_of(height: int, branch: int = 0, *, version: int = 4) -> bytes:
    """A payload of that height; one of another branch is another block."""
    block_hash = sha256(b"%d/%d" % (height, branch))
    return encode(an_envelope(version, height=height, block_hash=block_hash))


def reference_of(ssz: bytes) -> BlockReference:
    header = payload_header(ssz)
    return BlockReference(Height(header.height), header.block_hash, header.parent_hash)


def head_of(ssz: bytes) -> Head:
    return Head(reference_of(ssz), sha256(ssz))


@dataclass
class Log:
    """Entries that chain from a genesis, and their bodies."""

    genesis: Genesis
    entries: list[Entry] = field(default_factory=list)
    bodies: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def last(self) -> Position:
        if self.entries:
            return self.entries[-1].position
        return Position(Index(0), Epoch(0), self.genesis.cluster_id)

    def begin(self, epoch: int, leader: Member) -> Log:
        """A leadership."""
        body = EpochStart(leader.key, "for a test").to_bytes()
        return self._add(Epoch(epoch), EntryKind.EPOCH_START, body, None, body)

    def extend(self, *ssz: bytes) -> Log:
        """Payloads of the epoch that was begun last."""
        for body in ssz:
            self.bodies[sha256(body)] = body
            self._add(self.last.epoch, EntryKind.PAYLOAD, body, reference_of(body), b"")
        return self

    def up_to(self, index: int) -> Log:
        """The first entries of it, as another log."""
        return Log(self.genesis, self.entries[:index], dict(self.bodies))

    def _add(
        self,
        epoch: Epoch,
        kind: EntryKind,
        body: bytes,
        block: BlockReference | None,
        control: bytes,
    ) -> Log:
        self.entries.append(
            Entry(
                index=Index(self.last.index + 1),
                epoch=epoch,
                kind=kind,
                previous_digest=self.last.digest,
                body_hash=sha256(body),
                body_size=len(body),
                block=block,
                control=control,
            )
        )
        return self


class StoppedStores:
    """A directory with a store for each voter, which have formed a cluster."""

    def __init__(
        self,
        path: Path,
        names: Sequence[str] = "abc",
        *,
        quorum_rule: int = 0,
        head: Head | None = None,
        bodies: Mapping[str, tuple[Founding, bytes]] | None = None,
    ) -> None:
        """`bodies`: with which payload a store began, by name."""
        self.path = path
        self.names = names
        voters = []
        for name in names:
            founding, body = (bodies or {}).get(name, (None, b""))
            store = open_store(self.directory(name), name, founding, body)
            voters.append(_member(name, store.load().incarnation))
            store.close()
        self.genesis = Genesis("test", quorum_rule, tuple(voters), head=head)
        for name in names:
            self._apply(name, [])

    def directory(self, name: str) -> Path:
        return self.path / name

    def directories(self, names: Sequence[str] = "") -> list[Path]:
        return [self.directory(name) for name in names or self.names]

    def voter(self, name: str) -> Member:
        return next(voter for voter in self.genesis.voters if voter.server_id == name)

    def log(self) -> Log:
        """A log to be filled."""
        return Log(self.genesis)

    def write(
        self,
        names: Sequence[str],
        log: Log,
        *,
        certified: int = 0,
        promised: int = 0,
        pruned: int = 0,
    ) -> None:
        """Let these have that log, certified and pruned up to an index, and a promise."""
        epoch = Epoch(max(promised, log.last.epoch))
        for name in names:
            operations: list[Operation] = [
                RaisePromise(Promise(epoch, self.voter(name).key)),
                AppendEntries(tuple(log.entries)),
            ]
            if certified:
                entry = log.entries[certified - 1]
                operations.append(RaiseCertified(entry.position, self._certificate(entry)))
            if pruned:
                base = Base(log.entries[pruned - 1].position, self.genesis.membership)
                operations.append(Prune(base))
            self._apply(name, operations, log.bodies)

    def _certificate(self, entry: Entry) -> Certificate:
        quorum = self.genesis.voters[: self.genesis.membership.quorum]
        return Certificate.assemble(entry, [_acknowledged(voter.key, entry) for voter in quorum])

    def _apply(
        self,
        name: str,
        operations: Sequence[Operation],
        bodies: Mapping[bytes, bytes] | None = None,
    ) -> None:
        store = open_store(self.directory(name), name)
        store.load()
        store.set_genesis(self.genesis)
        if operations:
            store.apply([Write(1, tuple(operations))], bodies or {})
        store.close()


def _member(name: str, incarnation: Incarnation) -> Member:
    return Member(
        server_id=ServerId(name),
        incarnation=incarnation,
        public_key=sha256(name.encode()),
        grpc_address=f"host-{name}:18080",
        gateway_address=f"host-{name}:8080",
    )


def _acknowledged(key: MemberKey, entry: Entry) -> Acknowledgement:
    return Acknowledgement(key, entry.epoch, entry.index, entry.digest, b"signature" * 7 + b"!")
