"""How long a durable append takes in the store, against the floor of the same disk.

The floor appends the same bytes to a plain file and syncs it: nothing durable can be faster. Rounds
of both alternate, so that a noisy machine disturbs both; only the ratio says something about the
store. Checkpoints run in a thread beside the writes, as they do in a node.

    python benchmarks/store.py [--directory DIR] [--rounds N] [--per-round N] [--pause-ms N]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import tempfile
import threading
import time
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
from conductor.core.values import (
    Base,
    BlockReference,
    Entry,
    EntryKind,
    Epoch,
    Genesis,
    Height,
    Incarnation,
    Index,
    Member,
    Position,
    Promise,
    ServerId,
)
from conductor.store.opening import open_store
from conductor.store.sqlite import CHECKPOINT_BYTES, SqliteStore

SIZES = (10_000, 100_000, 500_000, 1_000_000, 2_000_000)
EPOCH = Epoch(1)


@dataclass
class Leader:
    """Writes to a store what a leader of three voters writes for each payload."""

    store: SqliteStore
    genesis: Genesis
    last: Position = field(init=False)
    certified: list[tuple[Position, Certificate]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store.load()
        self.store.set_genesis(self.genesis)
        self.last = Position(Index(0), Epoch(0), self.genesis.cluster_id)
        self._apply(RaisePromise(Promise(EPOCH, self.genesis.voters[0].key)), bodies={})

    def append(self, body: bytes) -> float:
        """Append one payload, and note with it that the one before is certified; seconds taken."""
        body_hash = hashlib.sha256(body).digest()
        block = BlockReference(Height(self.last.index), body_hash, self.last.digest)
        entry = Entry(
            index=Index(self.last.index + 1),
            epoch=EPOCH,
            kind=EntryKind.PAYLOAD,
            previous_digest=self.last.digest,
            body_hash=body_hash,
            body_size=len(body),
            block=block,
        )
        operations: list[Operation] = [AppendEntries((entry,))]
        if self.certified:
            operations.append(RaiseCertified(*self.certified[-1]))
        taken = self._apply(*operations, bodies={body_hash: body})
        said = (
            Acknowledgement(voter.key, EPOCH, entry.index, entry.digest, bytes(64))
            for voter in self.genesis.voters[:2]
        )
        self.certified.append((entry.position, Certificate.assemble(entry, said)))
        self.last = entry.position
        return taken

    def prune(self, retain: int) -> float:
        """Drop what is older than the newest `retain` certified payloads; seconds taken."""
        position = self.certified[-retain - 2][0]
        return self._apply(Prune(Base(position, self.genesis.membership)), bodies={})

    def _apply(self, *operations: Operation, bodies: dict[bytes, bytes]) -> float:
        started = time.perf_counter()
        self.store.apply([Write(1, operations)], bodies)
        return time.perf_counter() - started


class Checkpoints:
    """Checkpoints a store in a thread whenever its log has grown enough."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._is_due = threading.Event()
        self._is_over = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def consider(self) -> None:
        """After a write: begin one if it is due."""
        if self._store.wal_bytes() >= CHECKPOINT_BYTES:
            self._is_due.set()

    def stop(self) -> None:
        """End the thread."""
        self._is_over = True
        self._is_due.set()
        self._thread.join()

    def _run(self) -> None:
        while self._is_due.wait() and not self._is_over:
            self._is_due.clear()
            self._store.checkpoint()


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int
    per_round: int
    pause_seconds: float
    """Between two appends: blocks come one by one."""


def floor(path: Path, body: bytes, plan: Plan) -> list[float]:
    """Append and sync the same bytes to a plain file; seconds of each."""
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    taken = []
    for _ in range(plan.per_round):
        time.sleep(plan.pause_seconds)
        started = time.perf_counter()
        os.write(file, body)
        os.fdatasync(file)
        taken.append(time.perf_counter() - started)
    os.close(file)
    path.unlink()
    return taken


def measure(directory: Path, size: int, plan: Plan) -> str:
    """One line of the table, for one size of body."""
    names = ("a", "b", "c")
    voters = (
        Member(ServerId(n), Incarnation(n * 32), bytes(32), f"{n}:1", f"{n}:2") for n in names
    )
    store = open_store(directory / f"store-{size}", "a")
    leader = Leader(store, Genesis("benchmark", 0, tuple(voters)))
    checkpoints = Checkpoints(store)
    source = random.Random(size)
    bodies = [source.randbytes(size) for _ in range(4)]
    appends: list[float] = []
    prunes: list[float] = []
    floors: list[float] = []
    for number in range(-1, plan.rounds):
        floors_now = floor(directory / "floor", bodies[0], plan)
        appends_now = []
        for count in range(plan.per_round):
            time.sleep(plan.pause_seconds)
            appends_now.append(leader.append(bodies[count % len(bodies)]))
            checkpoints.consider()
        if number >= 0:  # the round before that warms the files up
            floors += floors_now
            appends += appends_now
            prunes.append(leader.prune(plan.per_round))
    checkpoints.stop()
    store.close()
    return (
        f"{size:>9,}  {milliseconds(appends)}  {milliseconds(floors)}  "
        f"{quantile(appends, 0.5) / quantile(floors, 0.5):>5.2f}  "
        f"{quantile(appends, 0.99) / quantile(floors, 0.99):>5.2f}  {milliseconds(prunes)}"
    )


def quantile(values: list[float], share: float) -> float:
    """The value below which that share of all lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def milliseconds(values: list[float]) -> str:
    """The median and the 99th percentile."""
    return f"{quantile(values, 0.5) * 1e3:>7.2f} /{quantile(values, 0.99) * 1e3:>7.2f}"


def main() -> None:
    """Measure every size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--directory", type=Path, help="on the disk to measure")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--per-round", type=int, default=40)
    parser.add_argument("--pause-ms", type=float, default=20.0, help="0: as fast as it goes")
    arguments = parser.parse_args()
    plan = Plan(arguments.rounds, arguments.per_round, arguments.pause_ms / 1000)
    print(f"{'bytes':>9}  {'store ms p50, p99':^16}  {'floor ms p50, p99':^16}  ", end="")
    print(f"{'ratios':^12}  {'prune ms p50, p99':^16}")
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        for size in SIZES:
            print(measure(Path(directory), size, plan))


if __name__ == "__main__":
    main()
