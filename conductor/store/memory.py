"""A store in memory: the same rules and answers as on disk, for simulations and tests.

Invariant: a write is taken whole or not at all, as on disk. What survives a crash is for whoever
simulates one to say: it keeps this object, or a copy.
"""

from __future__ import annotations

from collections.abc import Sequence

from conductor.core.effects import AppendEntries, InstallWindow, Write
from conductor.core.founding import Founding
from conductor.core.values import Epoch, Genesis, Index, MemberKey, Promise
from conductor.errors import NotFound
from conductor.ports import Bodies, StoredState
from conductor.store.transition import body_of, entry_at, form, perform


def empty_state(key: MemberKey, founding: Founding | None = None) -> StoredState:
    """What a store holds when it has just been made."""
    first_promise = founding.first_promise if founding is not None else Epoch(0)
    return StoredState(
        server_id=key.server_id,
        incarnation=key.incarnation,
        genesis=None,
        promise=Promise(first_promise, None),
        base=None,
        entries=(),
        certified=None,
        certificate=None,
        founding=founding,
    )


class MemoryStore:
    """Implements `conductor.ports.Store`."""

    def __init__(self, key: MemberKey, founding: Founding | None = None, head: bytes = b"") -> None:
        self._state = empty_state(key, founding)
        self._head = head
        self._bodies: dict[bytes, bytes] = {}

    def load(self) -> StoredState:
        """Everything but the bodies."""
        return self._state

    def set_genesis(self, genesis: Genesis) -> None:
        """Store the genesis and its base. StoreMismatch when there is another."""
        self._state = form(self._state, genesis)

    def apply(self, writes: Sequence[Write], bodies: Bodies) -> None:
        """Perform the writes in order. InvariantViolation: nothing changed."""
        operations = [operation for write in writes for operation in write.operations]
        state = perform(self._state, operations)
        added = [
            entry
            for operation in operations
            if isinstance(operation, AppendEntries | InstallWindow)
            for entry in operation.entries
        ]
        self._bodies.update({entry.body_hash: body_of(entry, bodies) for entry in added})
        if len(self._bodies) > len(state.entries):
            held = {entry.body_hash for entry in state.entries}
            self._bodies = {key: body for key, body in self._bodies.items() if key in held}
        self._state = state

    def read_body(self, index: Index) -> bytes:
        """The body of the entry there; NotFound when it is not held."""
        entry = entry_at(self._state, index)
        if entry is None:
            raise NotFound(f"entry {index} is not in the log of this node")
        return self._bodies[entry.body_hash]

    def read_head(self) -> bytes:
        """The payload that came with the founding; NotFound when none did."""
        if not self._head:
            raise NotFound("the store of this node did not begin with a payload")
        return self._head

    def close(self) -> None:
        """Nothing to release: what is stored stays."""
