"""Reads a store back and believes nothing of it.

Every record and row is checked against its checksum, every body against its hash, the log against
its own chain, and the parts against each other. All bodies are read for that, which takes about a
second for a full window: a node that acknowledged an entry and lost its bytes should learn so
before it takes part, not when another asks for them.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from conductor.core.encoding import sha256
from conductor.core.founding import Founding
from conductor.core.values import Genesis
from conductor.errors import InvalidArgument
from conductor.ports import StoredState
from conductor.store.codec import (
    Tail,
    decode_base,
    decode_certificate,
    decode_founding,
    decode_member_key,
    decode_promise,
    decode_tail,
    encode_base,
    encode_certificate,
    encode_founding,
    encode_promise,
    encode_tail,
)
from conductor.store.error_map import damaged
from conductor.store.rows import ENTRY_COLUMNS, decode_entry
from conductor.store.schema import read_record, read_record_if_any
from conductor.store.transition import (
    chain_break,
    contradiction,
    is_of_genesis,
    last_position,
)

IDENTITY_RECORD = "identity"
FOUNDING_RECORD = "founding"
HEAD_RECORD = "head"
"""The payload that came with the founding, as SSZ."""
TAIL_RECORD = "tail"

SELECT_ENTRIES = f"SELECT {', '.join(ENTRY_COLUMNS)} FROM entries ORDER BY log_index"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A state that passed every check, and how many transactions led to it."""

    state: StoredState
    transactions: int


def state_records(state: StoredState, known: StoredState | None = None) -> dict[str, bytes]:
    """What of a state is kept as records, where it is not the `known` one. Empty: there is none."""
    genesis, base, certificate = state.genesis, state.base, state.certificate
    records = {}
    if known is None and state.founding is not None:
        records[FOUNDING_RECORD] = encode_founding(state.founding)
    if known is None or genesis is not known.genesis:
        records["genesis"] = b"" if genesis is None else genesis.to_bytes()
    if known is None or state.promise is not known.promise:
        records["promise"] = encode_promise(state.promise)
    if known is None or base is not known.base:
        records["base"] = b"" if base is None else encode_base(base)
    if known is None or certificate is not known.certificate:
        records["certificate"] = b"" if certificate is None else encode_certificate(certificate)
    return records


def tail_record(state: StoredState, transactions: int) -> bytes:
    """The record of where a state ends."""
    return encode_tail(Tail(transactions, last_position(state)))


def load(connection: sqlite3.Connection) -> Loaded:
    """Everything in the store but the bodies; StoreDamaged when it contradicts itself."""
    connection.execute("BEGIN")
    try:
        return _load(connection)
    except InvalidArgument as error:
        raise damaged(f"a part of it is malformed: {error}") from error
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _load(connection: sqlite3.Connection) -> Loaded:
    state = _read_state(connection)
    tail = decode_tail(read_record(connection, TAIL_RECORD))
    problem = contradiction(state)
    if problem is None and state.base is not None and state.genesis is not None:
        problem = chain_break(state.base.position, state.entries)
        if not is_of_genesis(state.base, state.genesis):
            problem = "its log does not begin at its genesis"
    if problem is None and tail.last != last_position(state):
        problem = "its log does not end where it ended when it was written"
    if problem is not None:
        raise damaged(problem)
    return Loaded(state, tail.transactions)


def _read_state(connection: sqlite3.Connection) -> StoredState:
    identity = decode_member_key(read_record(connection, IDENTITY_RECORD))
    genesis = read_record(connection, "genesis")
    base = read_record(connection, "base")
    certificate_record = read_record(connection, "certificate")
    certificate = decode_certificate(certificate_record) if certificate_record else None
    founding_record = read_record_if_any(connection, FOUNDING_RECORD)
    founding = decode_founding(founding_record) if founding_record is not None else None
    read_head(connection, founding)
    return StoredState(
        server_id=identity.server_id,
        incarnation=identity.incarnation,
        genesis=Genesis.from_bytes(genesis) if genesis else None,
        promise=decode_promise(read_record(connection, "promise")),
        base=decode_base(base) if base else None,
        entries=tuple(decode_entry(row) for row in connection.execute(SELECT_ENTRIES)),
        certified=certificate.position if certificate is not None else None,
        certificate=certificate,
        founding=founding,
    )


def read_head(connection: sqlite3.Connection, founding: Founding | None) -> bytes | None:
    """The payload that came with that founding; None when none did. StoreDamaged."""
    end = founding.raft_end if founding is not None else None
    if end is None or end.head is None:
        return None
    body = read_record(connection, HEAD_RECORD)
    if sha256(body) != end.head.body_hash:
        raise damaged("the payload that it began with is not what was written")
    return body
