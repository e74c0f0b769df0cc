"""The stores of a cluster of conductors that stands still: what is certified, and what they hold.

Law: with so many voters' stores that every quorum has one of them, the best log (newest last epoch,
then longest) holds everything that was ever certified: it is the log that the next leader would
have taken over (rule 5.3.3). It may end with more than is known to be certified. That is kept: it
may be certified all the same, and nothing certified may be lost.

The stores are locked as long as they are open, so no conductor starts on one meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from conductor.core.encoding import sha256
from conductor.core.pinning import listed
from conductor.core.values import (
    BlockReference,
    Entry,
    EntryKind,
    Epoch,
    EpochStart,
    Genesis,
    Index,
    MemberKey,
    Membership,
    Position,
    ServerId,
)
from conductor.errors import ConfigError, NotFound, Refused, StoreDamaged, StoreMismatch
from conductor.ports import StoredState
from conductor.store import SqliteStore, open_existing_store


@dataclass(frozen=True, slots=True)
class NewestPayload:
    """The last payload of a log."""

    block: BlockReference
    ssz: bytes = field(repr=False)
    index: Index
    """Of its entry; 0 for the block that the cluster went on from and has not logged yet."""
    is_certified: bool
    """Whether one of the stores has a certificate that covers it."""


@dataclass(frozen=True, slots=True)
class StoppedStore:
    """One store, open and locked."""

    directory: Path
    store: SqliteStore = field(repr=False)
    state: StoredState = field(repr=False)
    genesis: Genesis = field(repr=False)

    @property
    def key(self) -> MemberKey:
        """Whose it is."""
        return MemberKey(self.state.server_id, self.state.incarnation)

    @property
    def last(self) -> Position:
        """The end of its log."""
        base = self.state.base
        assert base is not None
        return self.state.entries[-1].position if self.state.entries else base.position


@dataclass(frozen=True, slots=True)
class StoppedCluster:
    """The stores together."""

    stores: tuple[StoppedStore, ...]
    best: StoppedStore
    """The one whose log is the best."""

    @property
    def genesis(self) -> Genesis:
        """What all of them were formed with."""
        return self.best.genesis

    @property
    def membership(self) -> Membership:
        """The membership in force at the end of the best log."""
        base = self.best.state.base
        assert base is not None
        return base.membership

    @property
    def highest_epoch(self) -> Epoch:
        """The highest that any store has promised or holds an entry of."""
        return max(max(one.state.promise.epoch, one.last.epoch) for one in self.stores)

    @property
    def certified_index(self) -> Index:
        """How far the log is known to be certified."""
        positions = [one.state.certified for one in self.stores]
        return max((at.index for at in positions if at is not None), default=Index(0))

    @property
    def last_leader(self) -> ServerId | None:
        """Who led last, as the best log says."""
        for entry in reversed(self.best.state.entries):
            if entry.kind is EntryKind.EPOCH_START:
                return EpochStart.from_bytes(entry.control).leader.server_id
        return None

    @property
    def missing_voters(self) -> int:
        """How many more stores it takes until every quorum of voters has one among them."""
        membership = self.membership
        given = sum(1 for one in self.stores if membership.has_voter(one.key))
        return max(0, len(membership.voters) - membership.quorum + 1 - given)

    @property
    def absent(self) -> tuple[ServerId, ...]:
        """The voters whose stores are not among them, or not in the life that counts."""
        keys = {one.key for one in self.stores}
        return tuple(voter.server_id for voter in self.membership.voters if voter.key not in keys)

    def newest_payload(self) -> NewestPayload | None:
        """The last payload of the best log, or else the block that the cluster went on from.

        Refused: that block is in none of the stores.
        """
        for entry in reversed(self.best.state.entries):
            if entry.block is not None:
                ssz = self.best.store.read_body(entry.index)
                is_certified = entry.index <= self.certified_index
                return NewestPayload(entry.block, ssz, entry.index, is_certified)
        return self._inherited()

    def _inherited(self) -> NewestPayload | None:
        head = self.genesis.head
        if head is None:
            return None
        for one in self.stores:
            try:
                ssz = one.store.read_head()
            except NotFound:
                continue
            if sha256(ssz) == head.body_hash:
                return NewestPayload(head.block, ssz, Index(0), True)
        raise Refused(
            f"the cluster goes on from block {head.block.height}, which was not certified again "
            "yet, and none of these stores has it: add the --data-dir of the voter that brought it"
        )


@contextmanager
def open_stopped_cluster(directories: Sequence[Path]) -> Iterator[StoppedCluster]:
    """Open and lock the stores. Nothing in their logs is changed.

    ConfigError: one is named twice. NotFound: there is none. StoreLocked: a conductor runs on one.
    StoreMismatch: they are not of one formed cluster. StoreDamaged: one is, or they contradict each
    other.
    """
    with ExitStack() as cleanup:
        stores: list[StoppedStore] = []
        for directory in _each_once(directories):
            store = open_existing_store(directory)
            cleanup.callback(store.close)
            stores.append(_loaded(directory, store))
        _check_together(stores)
        yield StoppedCluster(tuple(stores), _best(stores))


def _each_once(directories: Sequence[Path]) -> Sequence[Path]:
    places = [directory.resolve() for directory in directories]
    for directory, place in zip(directories, places, strict=True):
        if places.count(place) > 1:
            raise ConfigError(f"--data-dir {directory} is named twice")
    return directories


def _loaded(directory: Path, store: SqliteStore) -> StoppedStore:
    state = store.load()
    if state.genesis is None:
        raise StoreMismatch(
            f"the store in {directory} belongs to no cluster yet, so there is nothing in it to "
            "take along: leave it out, or make Raft states with `op-conductor-init generate`"
        )
    return StoppedStore(directory, store, state, state.genesis)


def _check_together(stores: Sequence[StoppedStore]) -> None:
    first = stores[0]
    for one in stores[1:]:
        if one.genesis.cluster_id != first.genesis.cluster_id:
            raise StoreMismatch(
                f"{first.directory} and {one.directory} are of different clusters: name the stores "
                "of one"
            )
    names = [one.key.server_id for one in stores]
    for one in stores:
        if names.count(one.key.server_id) > 1:
            twice = [str(two.directory) for two in stores if two.key.server_id == one.key.server_id]
            raise StoreMismatch(
                f"{listed(twice)} are all stores of '{one.key.server_id}': name the newest alone"
            )


def _best(stores: Sequence[StoppedStore]) -> StoppedStore:
    """The store with the best log; StoreDamaged when another contradicts it."""
    best = max(stores, key=lambda one: one.last.rank)
    for one in stores:
        if one.last.rank == best.last.rank and one.last != best.last:
            raise _divergent(best, one, one.last)
        certified = one.state.certified
        if certified is not None and not _may_hold(best, certified):
            raise _divergent(best, one, certified)
    return best


def _may_hold(best: StoppedStore, position: Position) -> bool:
    """Whether a certified position is in that log, or below what it still has."""
    base = best.state.base
    assert base is not None
    if position.index <= base.position.index:
        return position.index < base.position.index or position == base.position
    offset = position.index - base.position.index - 1
    entries: Sequence[Entry] = best.state.entries
    return offset < len(entries) and entries[offset].position == position


def _divergent(best: StoppedStore, other: StoppedStore, at: Position) -> StoreDamaged:
    return StoreDamaged(
        f"the logs in {best.directory} and {other.directory} contradict each other at entry "
        f"{at.index} of epoch {at.epoch}: with a quorum threshold of more than half the voters "
        "this cannot be; keep both, and name only those that you trust"
    )
