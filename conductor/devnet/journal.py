"""The devnet's own record of what sequencers were told and did, one JSON object a line.

Invariant: a line is written after a commit was answered with success and before anything is built
on that block; lines are only ever added. The conductors neither write nor see it.

In a devnet no L1 reorganises, so sequencers have no reason ever to leave a block behind. Two
blocks of one height, or a child of another block than the one below it, are therefore a fork.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from conductor.devnet.payloads import Block, Head
from conductor.errors import InvalidArgument

JOURNAL_FILE = "journal.jsonl"


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One line. Hashes are hex."""

    event: Literal["start", "gossip"]
    """A sequencer began to build on this block; or the block's commit succeeded."""
    node: str
    """The server id of the conductor that the sequencer belongs to."""
    height: int
    block_hash: str
    parent_hash: str = ""
    """Empty for a start."""
    payload_hash: str = ""
    """SHA-256 of the SSZ envelope; empty for a start."""
    at_ms: int
    """Since the devnet began."""


class Sighting(Protocol):
    """A block that somebody has in the chain."""

    @property
    def node(self) -> str:
        """Who."""
        ...

    @property
    def height(self) -> int:
        """Where."""
        ...

    @property
    def block_hash(self) -> str:
        """Hex."""
        ...

    @property
    def parent_hash(self) -> str:
        """Hex; empty when not known."""
        ...


class Journal:
    """Appends records to a file and keeps them at hand."""

    def __init__(
        self, path: Path, now_ms: Callable[[], int], on_record: Callable[[Record], None]
    ) -> None:
        """`now_ms`: milliseconds since the devnet began. `on_record`: told of each new record."""
        self._path = path
        self._now_ms = now_ms
        self._on_record = on_record
        self._records: list[Record] = []
        self._gossiped = 0
        self._turn = asyncio.Lock()

    @property
    def records(self) -> tuple[Record, ...]:
        """All records, oldest first."""
        return tuple(self._records)

    @property
    def gossiped_count(self) -> int:
        """How many payloads were gossiped."""
        return self._gossiped

    @property
    def last_gossip(self) -> Record | None:
        """The newest gossiped payload."""
        gossips = (record for record in reversed(self._records) if record.event == "gossip")
        return next(gossips, None)

    async def start(self, node: str, head: Head) -> None:
        """Note that the sequencer of `node` begins to build on `head`."""
        await self._append(
            Record(
                event="start",
                node=node,
                height=head.height,
                block_hash=head.block_hash.hex(),
                at_ms=self._now_ms(),
            )
        )

    async def gossip(self, node: str, block: Block) -> None:
        """Note that the commit of `block` by the sequencer of `node` succeeded."""
        await self._append(
            Record(
                event="gossip",
                node=node,
                height=block.head.height,
                block_hash=block.head.block_hash.hex(),
                parent_hash=block.parent_hash.hex(),
                payload_hash=block.payload_hash.hex(),
                at_ms=self._now_ms(),
            )
        )

    async def _append(self, record: Record) -> None:
        async with self._turn:
            await asyncio.to_thread(_append_line, self._path, msgspec.json.encode(record))
            self._records.append(record)
        self._gossiped += record.event == "gossip"
        self._on_record(record)


def read_journal(path: Path) -> tuple[Record, ...]:
    """The records of a journal, oldest first; InvalidArgument when a line is none."""
    try:
        decoder = msgspec.json.Decoder(Record)
        return tuple(decoder.decode(line) for line in path.read_bytes().splitlines())
    except FileNotFoundError:
        return ()
    except msgspec.DecodeError as error:
        raise InvalidArgument(f"{path} is no journal: {error}") from error


def find_forks(sightings: Iterable[Sighting]) -> tuple[str, ...]:
    """Where the sightings are not all of one chain: a sentence for each such height."""
    forks: dict[int, str] = {}
    chain: dict[int, Sighting] = {}
    for seen in sorted(sightings, key=lambda seen: seen.height):
        known = chain.setdefault(seen.height, seen)
        below = chain.get(seen.height - 1)
        if known.block_hash != seen.block_hash:
            problem = f"{known.node} has 0x{known.block_hash}, {seen.node} has 0x{seen.block_hash}"
        elif seen.parent_hash and below is not None and below.block_hash != seen.parent_hash:
            problem = (
                f"the block of {seen.node} has parent 0x{seen.parent_hash}, "
                f"below it {below.node} has 0x{below.block_hash}"
            )
        else:
            continue
        forks.setdefault(seen.height, f"height {seen.height}: {problem}")
    return tuple(forks.values())


def _append_line(path: Path, line: bytes) -> None:
    with path.open("ab") as file:
        file.write(line + b"\n")
