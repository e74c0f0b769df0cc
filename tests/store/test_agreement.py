"""The store on disk and the store in memory answer alike to whatever is asked of them.

The operations are drawn from everything that the log makes possible and from a good deal that it
must refuse. What the disk holds is read back after every call, so that what was written is what is
found.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from conductor.core.effects import (
    AppendEntries,
    InstallWindow,
    Operation,
    Prune,
    Touch,
    Truncate,
    Write,
)
from conductor.core.values import Index, Position
from conductor.errors import InvariantViolation
from conductor.ports import Bodies, Store, StoredState
from conductor.store import MemoryStore
from conductor.store.transition import last_position
from tests.store.builders import (
    GENESIS,
    START,
    Chain,
    base_at,
    bodies_of,
    certify,
    promise,
)
from tests.store.disk import DirectoryDisk

CALLS = 100


class Script:
    """Draws operations for a state. Remembers every body that it ever made."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.bodies: dict[bytes, bytes] = {}

    def writes(self, state: StoredState) -> list[Write]:
        """One write, or two of which the second may not fit after the first."""
        count = self.random.choice([1, 1, 2])
        return [Write(number + 1, self.operations(state)) for number in range(count)]

    def operations(self, state: StoredState) -> tuple[Operation, ...]:
        """Operations that may fit the state, or not."""
        draw = self.random
        last = last_position(state) or START
        epoch = max(1, draw.choice([last.epoch, state.promise.epoch, state.promise.epoch + 1]))
        entry = draw.choice(state.entries) if state.entries else None
        kind = draw.choices(range(6), weights=[3, 8, 2, 5, 3, 1])[0]
        if kind == 0:
            return (promise(state.promise.epoch + draw.randint(-1, 2), draw.choice(["a", None])),)
        if kind == 1:
            return self.append(last, epoch)
        if kind == 2:
            return (Truncate(Index(last.index - draw.randint(0, 2))), *self.append(last, epoch))
        if kind == 3 and entry is not None:
            return (certify(entry), Touch())
        if kind == 4 and entry is not None:
            return (Prune(base_at(entry.position)),)
        return self.install(last, epoch)

    def append(self, last: Position, epoch: int) -> tuple[Operation, ...]:
        """Entries after `last`, a leadership's first one among them or not."""
        chain = Chain(last, self.bodies)
        size = self.random.choice([10, 1000, 40_000, 200_000])
        if self.random.random() < 0.3:
            start = chain.epoch_start(epoch=epoch)
            return (promise(epoch), AppendEntries((start, chain.payload(epoch=epoch))))
        return (AppendEntries((chain.payload(self.random.randbytes(size), epoch=epoch),)),)

    def install(self, last: Position, epoch: int) -> tuple[Operation, ...]:
        """A window of another node that is ahead, certified or not."""
        chain = Chain(last, self.bodies)
        chain.payloads(self.random.randint(0, 3), epoch=epoch)
        base = base_at(chain.last)
        window = chain.payloads(self.random.randint(1, 3), epoch=epoch)
        last_step = certify(window[0]) if self.random.random() < 0.7 else Touch()
        return (InstallWindow(base, window), last_step)


def answer(store: Store, writes: list[Write], bodies: Bodies) -> str:
    """What the store says to the writes: nothing if it takes them."""
    try:
        store.apply(writes, bodies)
    except InvariantViolation as violation:
        return str(violation)
    return ""


@pytest.mark.parametrize("seed", range(4))
def test_both_stores_answer_alike(quick_path: Path, seed: int) -> None:
    disk = DirectoryDisk(quick_path / "data")
    on_disk = disk.boot()
    incarnation = on_disk.load().incarnation
    in_memory = MemoryStore(GENESIS.voters[0].key)
    on_disk.set_genesis(GENESIS)
    in_memory.set_genesis(GENESIS)
    script = Script(seed)
    answers = []

    for _ in range(CALLS):
        writes = script.writes(in_memory.load())
        answers.append(answer(in_memory, writes, script.bodies))
        assert answer(on_disk, writes, script.bodies) == answers[-1]
        chance = script.random.random()
        if chance < 0.1:
            on_disk = disk.boot()
        elif chance < 0.2:
            on_disk.checkpoint()
        found, expected = on_disk.load(), in_memory.load()
        assert found == replace(expected, incarnation=incarnation)
        assert bodies_of(on_disk, found) == bodies_of(in_memory, expected)

    assert answers.count("") >= CALLS // 4, "the script asks for too little that is possible"
    assert len(set(answers)) >= 6, "the script asks for too little that is not"
    disk.stop()
