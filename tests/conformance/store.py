"""What every `conductor.ports.Store` has to do, on disk or in memory.

A subclass whose name begins with `Test` gives the fixture `disk`; the tests look at the store after
a restart, too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import pytest

from conductor.core.effects import (
    AppendEntries,
    InstallWindow,
    Operation,
    Prune,
    RaiseCertified,
    Touch,
    Truncate,
    Write,
)
from conductor.core.founding import Founding
from conductor.core.values import Base, Digest, Entry, Epoch, Index, Position, Promise
from conductor.errors import InvariantViolation, NotFound, StoreMismatch
from conductor.ports import Store, StoredState
from tests.store.builders import (
    END,
    FOUNDING,
    GENESIS,
    HEAD,
    HEAD_BODY,
    INHERITED,
    START,
    Chain,
    a_certificate,
    a_genesis,
    a_key,
    apply,
    base_at,
    bodies_of,
    certify,
    expected_bodies,
    form,
    promise,
)


class Disk(Protocol):
    """What survives a restart of the node."""

    def boot(self, founding: Founding | None = None, head: bytes = b"") -> Store:
        """The store of server `a` after a clean stop of the one before, if there was any.

        `founding`, and the payload `head`: what it begins with, if it is made now.
        """
        ...


class StoreConformance:
    """The suite."""

    @pytest.fixture
    def disk(self) -> Disk:
        """A new disk."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, disk: Disk) -> Store:
        """A store with a genesis and a promise of epoch 1."""
        store = disk.boot()
        form(store)
        return store

    @pytest.fixture
    def chain(self) -> Chain:
        """The log from the genesis on."""
        return Chain()

    # Identity, genesis, promise

    def test_new_store_holds_nothing_but_its_identity(self, disk: Disk) -> None:
        store = disk.boot()

        state = store.load()

        assert state.server_id == "a"
        assert state.incarnation
        assert state == StoredState(
            state.server_id, state.incarnation, None, Promise(Epoch(0), None), None, (), None, None
        )
        assert disk.boot().load() == state

    def test_founding_is_kept_and_its_epoch_promised_to_nobody(self, disk: Disk) -> None:
        state = disk.boot(FOUNDING).load()

        assert state.founding == FOUNDING
        assert state.promise == Promise(FOUNDING.first_promise, None)
        assert disk.boot().load() == state

    def test_founding_stays_through_genesis_and_promises(self, disk: Disk) -> None:
        store = disk.boot(FOUNDING)
        form(store, epoch=6)
        apply(store, promise(7, "b"))

        state = disk.boot().load()

        assert state.founding == FOUNDING
        assert state.genesis == GENESIS
        assert state.promise == Promise(Epoch(7), a_key("b"))

    def test_store_that_was_made_before_begins_with_nothing_else(self, disk: Disk) -> None:
        before = disk.boot().load()

        assert disk.boot(FOUNDING).load() == before
        assert before.founding is None

    @pytest.mark.parametrize("founding", [None, FOUNDING, replace(INHERITED, raft_end=END)])
    def test_store_that_began_without_a_payload_has_none(
        self, disk: Disk, founding: Founding | None
    ) -> None:
        store = disk.boot(founding)

        assert store.load().founding == founding
        with pytest.raises(NotFound, match="did not begin with a payload"):
            store.read_head()

    def test_payload_that_it_began_with_stays_through_genesis_and_entries(
        self, disk: Disk, chain: Chain
    ) -> None:
        store = disk.boot(INHERITED, HEAD_BODY)
        form(store, epoch=6)
        entry = chain.payload(epoch=6)
        apply(store, AppendEntries((entry,)), bodies=chain.bodies)

        store = disk.boot()

        assert store.load().founding == INHERITED
        assert store.read_head() == HEAD_BODY
        assert store.read_body(entry.index) == chain.bodies[entry.body_hash]

    def test_genesis_with_a_head_comes_back(self, disk: Disk) -> None:
        genesis = replace(GENESIS, head=HEAD)
        store = disk.boot(INHERITED, HEAD_BODY)
        store.load()

        store.set_genesis(genesis)

        assert disk.boot().load().genesis == genesis

    def test_genesis_brings_the_base_of_its_log(self, disk: Disk) -> None:
        store = disk.boot()
        store.load()

        store.set_genesis(GENESIS)

        state = disk.boot().load()
        assert state.genesis == GENESIS
        assert state.base == Base(START, GENESIS.membership)

    def test_genesis_that_is_known_may_be_set_again(self, disk: Disk, store: Store) -> None:
        before = store.load()

        store.set_genesis(a_genesis())

        assert store.load() == disk.boot().load() == before

    def test_second_genesis_is_refused(self, disk: Disk, store: Store) -> None:
        before = store.load()

        with pytest.raises(StoreMismatch, match="data directory"):
            store.set_genesis(a_genesis("abd"))

        assert store.load() == disk.boot().load() == before

    def test_genesis_that_could_not_be_read_back_is_refused(self, disk: Disk) -> None:
        store = disk.boot()
        before = store.load()
        observer = replace(GENESIS.voters[1], voter=False)

        for voters in (GENESIS.voters[::-1], (GENESIS.voters[0], observer)):
            with pytest.raises(InvariantViolation, match="genesis"):
                store.set_genesis(replace(GENESIS, voters=voters))

        assert store.load() == disk.boot().load() == before

    def test_promise_survives(self, disk: Disk, store: Store) -> None:
        apply(store, promise(7, "b"))

        assert store.load().promise == Promise(Epoch(7), a_key("b"))
        assert disk.boot().load().promise == Promise(Epoch(7), a_key("b"))

    def test_promise_of_its_epoch_may_name_another_leader(self, store: Store) -> None:
        apply(store, promise(1, "c"))

        assert store.load().promise == Promise(Epoch(1), a_key("c"))

    def test_promise_to_nobody_needs_no_genesis(self, disk: Disk) -> None:
        store = disk.boot()
        store.load()

        apply(store, promise(12, None))

        assert disk.boot().load().promise == Promise(Epoch(12), None)

    @pytest.mark.parametrize("epoch", [2**63, 2**64 - 1])
    def test_largest_numbers_survive(self, disk: Disk, store: Store, epoch: int) -> None:
        chain = Chain()
        entry = chain.payload(epoch=epoch, height=epoch)

        apply(store, promise(epoch), AppendEntries((entry,)), bodies=chain.bodies)

        assert disk.boot().load().entries == (entry,)

    # Appending

    def test_entries_come_back_with_their_bodies(
        self, disk: Disk, store: Store, chain: Chain
    ) -> None:
        entries = (
            chain.epoch_start(epoch=1),
            chain.payload(b"short"),
            chain.payload(bytes(range(256)) * 1000),
        )

        apply(store, AppendEntries(entries), bodies=chain.bodies)

        assert store.load().entries == entries
        assert bodies_of(store, store.load()) == expected_bodies(entries, chain)
        store = disk.boot()
        assert store.load().entries == entries
        assert bodies_of(store, store.load()) == expected_bodies(entries, chain)

    def test_writes_of_one_call_follow_each_other(
        self, disk: Disk, store: Store, chain: Chain
    ) -> None:
        first, second = chain.payloads(2)
        other = chain.fork(first.position).payload(b"other", epoch=2)
        writes = [
            Write(1, (AppendEntries((first, second)),)),
            Write(2, (promise(2, "b"), Truncate(first.index), AppendEntries((other,)))),
            Write(3, (certify(other), Touch())),
        ]

        store.apply(writes, chain.bodies)

        state = disk.boot().load()
        assert state.entries == (first, other)
        assert state.certified == other.position

    def test_same_bytes_may_stand_at_two_indexes(
        self, disk: Disk, store: Store, chain: Chain
    ) -> None:
        entries = (chain.payload(b"twice"), chain.payload(b"twice"))
        apply(store, AppendEntries(entries), bodies=chain.bodies)
        apply(store, Truncate(Index(1)))

        assert disk.boot().read_body(Index(1)) == b"twice"

    def test_nothing_to_do_changes_nothing(self, disk: Disk, store: Store) -> None:
        before = store.load()

        store.apply([], {})
        apply(store, AppendEntries(()), Touch())

        assert store.load() == disk.boot().load() == before

    @pytest.mark.parametrize("index", [0, 4, 2**63 - 1, 2**64])
    def test_body_that_is_not_held_is_not_found(
        self, store: Store, chain: Chain, index: int
    ) -> None:
        apply(store, AppendEntries(chain.payloads(3)), bodies=chain.bodies)

        with pytest.raises(NotFound):
            store.read_body(Index(index))

    # Truncating

    def test_truncated_entries_make_room_for_others(
        self, disk: Disk, store: Store, chain: Chain
    ) -> None:
        kept, *dropped = chain.payloads(3)
        apply(store, AppendEntries((kept, *dropped)), bodies=chain.bodies)

        apply(store, Truncate(kept.index))
        with pytest.raises(NotFound):
            store.read_body(Index(2))
        other = chain.fork(kept.position).payload(b"another second")
        apply(store, AppendEntries((other,)), bodies=chain.bodies)

        store = disk.boot()
        assert store.load().entries == (kept, other)
        assert store.read_body(Index(2)) == b"another second"

    def test_truncation_after_the_end_removes_nothing(self, store: Store, chain: Chain) -> None:
        entries = chain.payloads(2)
        apply(store, AppendEntries(entries), bodies=chain.bodies)

        apply(store, Truncate(Index(2)))
        apply(store, Truncate(Index(9)))
        apply(store, Truncate(Index(2**64)))

        assert store.load().entries == entries

    # Certifying

    def test_certified_position_comes_back_with_its_certificate(
        self, disk: Disk, store: Store, chain: Chain
    ) -> None:
        entries = chain.payloads(2)
        apply(store, AppendEntries(entries), bodies=chain.bodies)
        certificate = a_certificate(entries[0], "abc")

        apply(store, RaiseCertified(entries[0].position, certificate))

        state = disk.boot().load()
        assert state.certified == entries[0].position
        assert state.certificate == certificate

    def test_certified_position_may_be_noted_again(self, store: Store, chain: Chain) -> None:
        (entry,) = chain.payloads(1)
        apply(store, AppendEntries((entry,)), certify(entry), bodies=chain.bodies)
        certificate = a_certificate(entry, "abc")

        apply(store, RaiseCertified(entry.position, certificate))

        assert store.load().certificate == certificate

    # Pruning

    def test_pruned_entries_are_gone_and_the_base_has_moved(
        self, disk: Disk, store: Store, chain: Chain
    ) -> None:
        entries = chain.payloads(5)
        apply(store, AppendEntries(entries), certify(entries[3]), bodies=chain.bodies)

        apply(store, Prune(base_at(entries[1].position)))

        store = disk.boot()
        state = store.load()
        assert state.base == base_at(entries[1].position)
        assert state.entries == entries[2:]
        assert store.read_body(Index(3)) == chain.bodies[entries[2].body_hash]
        with pytest.raises(NotFound):
            store.read_body(Index(2))

    def test_pruned_log_goes_on(self, disk: Disk, store: Store, chain: Chain) -> None:
        entries = chain.payloads(3)
        apply(store, AppendEntries(entries), certify(entries[2]), bodies=chain.bodies)
        apply(store, Prune(base_at(entries[1].position)))
        more = chain.payloads(2)

        apply(store, AppendEntries(more), certify(more[0]), bodies=chain.bodies)
        apply(store, Truncate(more[0].index), Prune(base_at(entries[2].position)))

        assert disk.boot().load().entries == more[:1]

    # Installing a window

    def test_window_replaces_the_log_and_leaves_the_promise(
        self, disk: Disk, store: Store, chain: Chain
    ) -> None:
        behind = Chain()
        apply(store, AppendEntries(behind.payloads(2)), promise(9, "c"), bodies=behind.bodies)
        chain.payloads(20, epoch=2)
        base = base_at(chain.last)
        window = chain.payloads(3, epoch=2)

        apply(store, InstallWindow(base, window), certify(window[1]), bodies=chain.bodies)

        store = disk.boot()
        state = store.load()
        assert (state.base, state.entries) == (base, window)
        assert state.certified == window[1].position
        assert state.promise == Promise(Epoch(9), a_key("c"))
        assert bodies_of(store, state) == expected_bodies(window, chain)

    def test_window_may_end_at_its_base(self, disk: Disk, store: Store, chain: Chain) -> None:
        newest = chain.payloads(4)[-1]

        apply(store, InstallWindow(base_at(newest.position), ()), certify(newest))

        state = disk.boot().load()
        assert state.entries == ()
        assert state.certified == newest.position

    def test_window_from_below_keeps_what_is_certified(
        self, disk: Disk, store: Store, chain: Chain
    ) -> None:
        entries = chain.payloads(4)
        apply(store, AppendEntries(entries), certify(entries[2]), bodies=chain.bodies)
        apply(store, Prune(base_at(entries[1].position)))

        window = InstallWindow(base_at(entries[0].position), entries[1:])
        apply(store, window, certify(entries[3]), bodies=chain.bodies)

        assert disk.boot().load().entries == entries[1:]

    # What must never be: nothing is written, not even what came before in the same call

    def check_refused(self, disk: Disk, store: Store, *operations: Operation, chain: Chain) -> None:
        """The operations are refused, after a good one, and leave no trace; the store goes on."""
        before = store.load()

        with pytest.raises(InvariantViolation):
            apply(store, promise(50, "b"), *operations, bodies=chain.bodies)

        assert store.load() == before
        apply(store, Touch())
        assert disk.boot().load() == before

    def test_promise_never_falls(self, disk: Disk, store: Store, chain: Chain) -> None:
        self.check_refused(disk, store, promise(49, "b"), chain=chain)

    def test_log_needs_a_genesis(self, disk: Disk, chain: Chain) -> None:
        store = disk.boot()
        for operation in (
            AppendEntries(chain.payloads(1)),
            Truncate(Index(0)),
            Prune(base_at(START)),
            InstallWindow(base_at(START), ()),
        ):
            self.check_refused(disk, store, operation, chain=chain)
            store = disk.boot()

    @pytest.mark.parametrize("case", ["gap", "repeated", "other chain", "epoch falls"])
    def test_entries_follow_the_log(
        self, disk: Disk, store: Store, chain: Chain, case: str
    ) -> None:
        held = chain.payloads(2, epoch=3)
        apply(store, promise(3), AppendEntries(held), bodies=chain.bodies)
        if case == "gap":
            chain.payload(epoch=3)
            wrong = chain.payload(epoch=3)
        elif case == "repeated":
            wrong = held[1]
        elif case == "other chain":
            wrong = chain.fork(replace(held[1].position, digest=Digest(bytes(32)))).payload(epoch=3)
        else:
            wrong = chain.payload(epoch=2)

        self.check_refused(disk, store, AppendEntries((wrong,)), chain=chain)

    def test_entries_above_the_promise_are_refused(
        self, disk: Disk, store: Store, chain: Chain
    ) -> None:
        self.check_refused(disk, store, AppendEntries(chain.payloads(1, epoch=51)), chain=chain)

    @pytest.mark.parametrize(
        "case", ["missing", "cut", "no block", "two bodies", "no body", "control of another hash"]
    )
    def test_entry_needs_its_body(self, disk: Disk, store: Store, chain: Chain, case: str) -> None:
        entry = chain.payload(b"the body")
        if case == "missing":
            chain.bodies.clear()
        elif case == "cut":
            chain.bodies[entry.body_hash] = b"the bod"
        elif case == "no block":
            entry = replace(entry, block=None)
        elif case == "two bodies":
            entry = replace(entry, control=b"the body")
        elif case == "no body":
            entry = replace(Chain().epoch_start(epoch=1), control=b"")
        else:
            entry = replace(Chain().epoch_start(epoch=1), body_hash=entry.body_hash)

        self.check_refused(disk, store, AppendEntries((entry,)), chain=chain)

    def test_certified_entries_are_never_truncated(
        self, disk: Disk, store: Store, chain: Chain
    ) -> None:
        entries = chain.payloads(3)
        apply(store, AppendEntries(entries), certify(entries[1]), bodies=chain.bodies)

        self.check_refused(disk, store, Truncate(Index(1)), chain=chain)
        assert disk.boot().load().entries == entries

    def test_truncation_below_the_log_is_refused(
        self, disk: Disk, store: Store, chain: Chain
    ) -> None:
        self.check_refused(disk, store, Truncate(Index(-1)), chain=chain)

    @pytest.mark.parametrize(
        "case", ["lower", "not in the log", "other digest", "other certificate", "mixed"]
    )
    def test_certified_position_is_in_the_log_and_proven(
        self, disk: Disk, store: Store, chain: Chain, case: str
    ) -> None:
        entries = chain.payloads(4)
        apply(store, AppendEntries(entries[:3]), certify(entries[1]), bodies=chain.bodies)
        third, fourth = entries[2:]
        operation = {
            "lower": certify(entries[0]),
            "not in the log": certify(fourth),
            "other digest": certify(Chain(entries[1].position).payload(b"another third")),
            "other certificate": RaiseCertified(third.position, a_certificate(entries[1])),
            "mixed": RaiseCertified(
                third.position,
                replace(
                    a_certificate(third),
                    acknowledgements=a_certificate(fourth).acknowledgements,
                ),
            ),
        }[case]

        self.check_refused(disk, store, operation, chain=chain)

    @pytest.mark.parametrize(
        "case", ["certified", "uncertified", "other digest", "newest payload", "below the base"]
    )
    def test_only_what_is_certified_and_superseded_is_pruned(
        self, disk: Disk, store: Store, chain: Chain, case: str
    ) -> None:
        entries = (*chain.payloads(3), chain.epoch_start(epoch=2), *chain.payloads(1, epoch=2))
        apply(
            store,
            promise(2),
            AppendEntries(entries),
            certify(entries[3]),
            Prune(base_at(entries[0].position)),
            bodies=chain.bodies,
        )
        position = {
            "certified": entries[3].position,
            "uncertified": entries[4].position,
            "other digest": replace(entries[1].position, digest=Digest(bytes(32))),
            "newest payload": entries[2].position,
            "below the base": START,
        }[case]

        self.check_refused(disk, store, Prune(base_at(position)), chain=chain)

    def test_uncertified_log_is_not_pruned(self, disk: Disk, store: Store, chain: Chain) -> None:
        entries = chain.payloads(3)
        apply(store, AppendEntries(entries), bodies=chain.bodies)

        self.check_refused(disk, store, Prune(base_at(entries[0].position)), chain=chain)

    @pytest.mark.parametrize("case", ["broken", "no certificate", "conflict", "forgets", "genesis"])
    def test_window_never_rewrites_what_is_certified(
        self, disk: Disk, store: Store, chain: Chain, case: str
    ) -> None:
        entries = chain.payloads(6)
        apply(store, AppendEntries(entries[:3]), certify(entries[2]), bodies=chain.bodies)
        other: tuple[Entry, ...] = chain.fork(entries[0].position).payloads(4, epoch=2)
        nowhere = Position(Index(0), Epoch(0), Digest(bytes(32)))
        operations: tuple[Operation, ...] = {
            "broken": (InstallWindow(base_at(entries[3].position), entries[5:]),),
            "no certificate": (InstallWindow(base_at(entries[3].position), entries[4:]),),
            "conflict": (InstallWindow(base_at(entries[0].position), other), certify(other[3])),
            "forgets": (InstallWindow(base_at(entries[0].position), entries[1:2]),),
            "genesis": (InstallWindow(base_at(nowhere), ()),),
        }[case]

        self.check_refused(disk, store, *operations, chain=chain)

    def test_window_of_another_genesis_is_refused(
        self, disk: Disk, store: Store, chain: Chain
    ) -> None:
        nowhere = Position(Index(0), Epoch(0), Digest(bytes(32)))
        window = chain.fork(nowhere).payloads(2)
        operations = (InstallWindow(base_at(nowhere), window), certify(window[1]))

        self.check_refused(disk, store, *operations, chain=chain)

    def test_log_ends_at_the_largest_index(self, disk: Disk, store: Store, chain: Chain) -> None:
        base = Position(Index(2**63 - 2), Epoch(1), Digest(bytes(32)))
        last, too_much = chain.fork(base).payloads(2)
        window = InstallWindow(base_at(base), (last,))
        apply(store, window, certify(last), bodies=chain.bodies)

        assert disk.boot().load().entries == (last,)
        store = disk.boot()
        store.load()
        self.check_refused(disk, store, AppendEntries((too_much,)), chain=chain)

    def test_window_without_a_body_is_refused(self, disk: Disk, store: Store, chain: Chain) -> None:
        entries = chain.payloads(3)
        window = InstallWindow(base_at(entries[0].position), entries[1:])
        del chain.bodies[entries[1].body_hash]

        self.check_refused(disk, store, window, certify(entries[2]), chain=chain)
