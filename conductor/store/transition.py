"""What each operation makes of a stored state, and what no operation may do to one.

Invariant: what `perform` returns would pass the checks of a load; certified history is in it
unchanged, and its promise is no lower. Both stores ask here before they change anything, so a write
that breaks a rule leaves no trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import assert_never

from conductor.core.certificate import Certificate
from conductor.core.effects import (
    AppendEntries,
    InstallWindow,
    Operation,
    Prune,
    RaiseCertified,
    RaisePromise,
    Touch,
    Truncate,
)
from conductor.core.encoding import sha256
from conductor.core.values import Base, Entry, EntryKind, Epoch, Genesis, Index, Position
from conductor.errors import InvalidArgument, InvariantViolation, StoreMismatch, ensure
from conductor.ports import Bodies, StoredState
from conductor.store.rows import INDEX_MAX


def form(state: StoredState, genesis: Genesis) -> StoredState:
    """The state with its genesis and the base that follows from it.

    StoreMismatch when it has another genesis; InvariantViolation when this one is malformed.
    """
    if state.genesis == genesis:
        return state
    if state.genesis is not None:
        raise StoreMismatch(
            f"the store belongs to a cluster formed before (named {state.genesis.cluster_name!r}): "
            "a server joins another one only with another data directory"
        )
    try:
        is_readable = Genesis.from_bytes(genesis.to_bytes()) == genesis
    except InvalidArgument as error:
        raise InvariantViolation(f"a malformed genesis cannot be stored: {error}") from error
    ensure(is_readable, "a genesis that reads back as another one cannot be stored")
    position = Position(Index(0), Epoch(0), genesis.cluster_id)
    return replace(state, genesis=genesis, base=Base(position, genesis.membership))


def perform(state: StoredState, operations: Iterable[Operation]) -> StoredState:
    """The state after the operations, in order; InvariantViolation when one must not be."""
    for operation in operations:
        state = _perform(state, operation)
    problem = contradiction(state)
    ensure(problem is None, f"a write would leave the store so that {problem}")
    return state


def body_of(entry: Entry, bodies: Bodies) -> bytes:
    """What to store as the body of `entry`; InvariantViolation when it is not there, or not it."""
    is_payload = entry.kind is EntryKind.PAYLOAD
    is_told_apart = is_payload == (entry.block is not None) == (not entry.control)
    ensure(is_told_apart, f"entry {entry.index} is neither a payload nor of the protocol's own")
    body = bodies.get(entry.body_hash) if is_payload else entry.control
    if body is not None and not is_payload:
        ensure(sha256(body) == entry.body_hash, f"entry {entry.index} has the hash of another body")
    if body is None or len(body) != entry.body_size:
        raise InvariantViolation(f"the body of entry {entry.index} is missing or cut short")
    return body


# Questions about a state


def last_position(state: StoredState) -> Position | None:
    """The end of the log; None before the genesis."""
    if state.entries:
        return state.entries[-1].position
    return state.base.position if state.base is not None else None


def entry_at(state: StoredState, index: Index) -> Entry | None:
    """The entry there; None outside the window."""
    offset = index - state.base.position.index - 1 if state.base is not None else -1
    return state.entries[offset] if 0 <= offset < len(state.entries) else None


def position_at(state: StoredState, index: Index) -> Position | None:
    """The position there; None outside the window. The base itself is inside."""
    if state.base is not None and index == state.base.position.index:
        return state.base.position
    entry = entry_at(state, index)
    return entry.position if entry is not None else None


def chain_break(previous: Position, entries: Sequence[Entry]) -> str | None:
    """Where entries do not follow each other from `previous` on; None when they do."""
    for entry in entries:
        if entry.index != previous.index + 1 or entry.index > INDEX_MAX:
            return f"entry {entry.index} stands after entry {previous.index}"
        if entry.previous_digest != previous.digest:
            return f"the hash chain is broken before entry {entry.index}"
        if entry.epoch < previous.epoch:
            return f"the epoch falls at entry {entry.index}"
        previous = entry.position
    return None


def is_of_genesis(base: Base, genesis: Genesis) -> bool:
    """Whether a base can be in the log that begins with the genesis."""
    return base.position.index > 0 or base.position.digest == genesis.cluster_id


def contradiction(state: StoredState) -> str | None:
    """What in the state cannot be true together, hashes aside; None when all is well."""
    last = last_position(state)
    if state.genesis is None or state.base is None or last is None:
        held = (state.genesis, state.base, state.certificate, state.certified, *state.entries)
        return None if not any(held) else "it has parts of a log but not its genesis and base"
    base = state.base.position
    if state.promise.epoch < last.epoch:
        return f"epoch {state.promise.epoch} is promised, below that of entry {last.index}"
    if state.certified is None or state.certificate is None:
        is_new = state.certified is None and state.certificate is None and base.index == 0
        return None if is_new else "entries are pruned or certified without a certificate"
    if state.certificate.position != state.certified:
        return "its certificate is for another position than the certified one"
    if position_at(state, state.certified.index) != state.certified:
        return f"certified entry {state.certified.index} is not in its log"
    return None


# Operations


def _perform(state: StoredState, operation: Operation) -> StoredState:
    match operation:
        case RaisePromise(promise):
            ensure(promise.epoch >= state.promise.epoch, "the promised epoch never falls")
            return replace(state, promise=promise)
        case Truncate(after):
            return _truncate(state, after)
        case AppendEntries(entries):
            return _append(state, entries)
        case RaiseCertified(position, certificate):
            return _raise_certified(state, position, certificate)
        case InstallWindow(base, entries):
            return _install(state, base, entries)
        case Prune(base):
            return _prune(state, base)
        case Touch():
            return state
    assert_never(operation)


def _truncate(state: StoredState, after: Index) -> StoredState:
    base = _base(state)
    certified_index = state.certified.index if state.certified is not None else 0
    floor = max(base.position.index, certified_index)
    ensure(
        after >= floor, f"a truncation after {after} would remove entry {floor}, which must stay"
    )
    return replace(state, entries=state.entries[: after - base.position.index])


def _append(state: StoredState, entries: tuple[Entry, ...]) -> StoredState:
    last = last_position(state) or _base(state).position
    problem = chain_break(last, entries)
    ensure(problem is None, f"entries cannot be appended: {problem}")
    return replace(state, entries=state.entries + entries)


def _raise_certified(
    state: StoredState, position: Position, certificate: Certificate
) -> StoredState:
    known = state.certified
    ensure(known is None or position.index >= known.index, "the certified index never falls")
    ensure(position_at(state, position.index) == position, "only what is in the log is certified")
    for said in certificate.acknowledgements:
        where = Position(said.index, said.epoch, said.digest)
        ensure(where == position, "an acknowledgement in the certificate is for another position")
    return replace(state, certified=position, certificate=certificate)


def _install(state: StoredState, base: Base, entries: tuple[Entry, ...]) -> StoredState:
    problem = chain_break(base.position, entries)
    ensure(problem is None, f"a window cannot be installed: {problem}")
    is_ours = state.genesis is not None and is_of_genesis(base, state.genesis)
    ensure(is_ours, "a window of another genesis cannot be installed")
    installed = replace(state, base=base, entries=entries)
    certified = state.certified
    if certified is not None and base.position.index <= certified.index:
        is_kept = position_at(installed, certified.index) == certified
        ensure(is_kept, f"a window without certified entry {certified.index} cannot be installed")
    return installed


def _prune(state: StoredState, base: Base) -> StoredState:
    index = base.position.index
    old_index = _base(state).position.index
    ensure(position_at(state, index) == base.position, "a base must be a position of the log")
    ensure(
        state.certified is not None and index < state.certified.index,
        f"only what is below the certified index is pruned, not entry {index}",
    )
    newest_payload_index = next(
        (
            entry.index
            for entry in reversed(state.entries)
            if entry.kind is EntryKind.PAYLOAD
            and state.certified is not None
            and entry.index <= state.certified.index
        ),
        None,
    )
    ensure(
        newest_payload_index is None or index < newest_payload_index,
        "the newest certified payload is never pruned",
    )
    return replace(state, base=base, entries=state.entries[index - old_index :])


def _base(state: StoredState) -> Base:
    if state.base is None:
        raise InvariantViolation("a store without a genesis takes no log")
    return state.base
