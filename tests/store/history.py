"""A long, fixed history of writes, and a program that performs it in a process of its own.

Step n promises epoch n, so that a store tells by its promise how far it came. The program takes a
directory and a number of steps, and says on its standard output after which step it is, each time
as soon as the store has returned.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from conductor.core.effects import AppendEntries, Operation, Prune, Truncate, Write
from conductor.core.values import Entry
from conductor.errors import StoreError
from conductor.ports import Bodies, StoredState
from conductor.store import MemoryStore, SqliteStore, open_store
from tests.store.builders import GENESIS, Chain, base_at, certify, form, promise

SIZES = (100, 3_000, 40_000, 100_000)
RETAINED = 6


def steps() -> Iterator[tuple[list[Write], Bodies]]:
    """The writes of step 2 and so on: `form` does step 1."""
    entries: list[Entry] = []
    certified = 0
    chain = Chain()
    for epoch in itertools.count(2):
        operations: list[Operation] = [promise(epoch, "ab"[epoch % 2])]
        if epoch % 5 == 0 and len(entries) > certified:
            del entries[certified:]
            last = entries[-1].position
            operations.append(Truncate(last.index))
            chain = Chain(last)
        chain.bodies.clear()
        size = SIZES[epoch % len(SIZES)]
        entry = chain.payload((b"%d " % epoch * size)[:size], epoch=epoch)
        entries.append(entry)
        operations.append(AppendEntries((entry,)))
        if epoch % 3 == 0:
            certified = len(entries) - 1
            operations.append(certify(entries[certified - 1]))
            if certified > RETAINED:
                operations.append(Prune(base_at(entries[certified - RETAINED].position)))
        yield [Write(epoch, tuple(operations))], dict(chain.bodies)


def replay(count: int) -> MemoryStore:
    """What a store holds after `count` steps."""
    store = MemoryStore(GENESIS.voters[0].key)
    if count > 0:
        form(store)
    for writes, bodies in itertools.islice(steps(), max(0, count - 1)):
        store.apply(writes, bodies)
    return store


def steps_done(state: StoredState) -> int:
    """After how many steps a store is in this state."""
    return state.promise.epoch


def _checkpoint(store: SqliteStore) -> None:
    with suppress(StoreError):  # the next write will fail, too
        store.checkpoint()


def _say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def main() -> None:
    """Open the store, and go on to the step that was asked for."""
    store = open_store(Path(sys.argv[1]), "a")
    last = int(sys.argv[2])
    done = steps_done(store.load())
    _say(str(done))
    try:
        if done == 0 and last > 0:
            form(store)
            done = 1
        for writes, bodies in itertools.islice(steps(), max(0, done - 1), max(0, last - 1)):
            store.apply(writes, bodies)
            _say(str(writes[0].sequence))
            if writes[0].sequence % 7 == 0:
                threading.Thread(target=_checkpoint, args=(store,)).start()
    except StoreError as failure:
        _say(f"failed: {failure}")
        os._exit(7)
    store.close()


if __name__ == "__main__":
    main()
