"""The nodes under malformed input: their memory, their logs, and whether they still work."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.nodes import FAILOVER_S, Chain, Node, Nodes, eventually
from tests.malformed.http_inputs import posted
from tests.malformed.talk import connected
from tests.payload.builders import as_bytes

MIB = 2**20
MEMORY_BYTES_MAX = 64 * MIB
"""How much more of it a node may hold afterwards than before."""
SETTLE_S = 20.0
"""For what was freed to be given back, and for a cluster that was pushed about to come to rest."""
SAMPLE_S = 0.1

_LINE = re.compile(r"timestamp=\S+ level=(\w+) event=(\"[^\"]*\"|\S+)")
_MEMORY = re.compile(r"^RssAnon:\s+([0-9]+) kB$", re.MULTILINE)
_COMPLAINTS = ("Traceback", "never retrieved", "never awaited", "Unclosed", "Exception ignored")


def memory_bytes(process_id: int | None) -> int:
    """What a process holds for itself: RssAnon, without the pages of its files."""
    assert process_id is not None, "the node does not run"
    match = _MEMORY.search(Path(f"/proc/{process_id}/status").read_text("ascii"))
    assert match
    return int(match[1]) * 1024


@dataclass(slots=True)
class Memory:
    """How much a node held, in bytes."""

    fresh: int
    """Before any input."""
    begin: int = 0
    """After the first inputs, which make the process as large as it has to be for such."""
    end: int = 0
    peak: int = 0
    """The most that was seen, ten times a second, from `begin` on."""

    def __str__(self) -> str:
        fresh, begin, end, peak = (
            f"{size / MIB:.0f} MiB" for size in (self.fresh, self.begin, self.end, self.peak)
        )
        grown = (self.end - self.begin) / MIB
        return (
            f"{end} at the end, {begin} after the warm-up ({grown:+.0f} MiB), {fresh} before it, "
            f"{peak} at most"
        )


@asynccontextmanager
async def watched(node: Node, memory: Memory) -> AsyncIterator[None]:
    """Fill in `begin`, `peak` and `end`; AssertionError when too much is held at the end."""
    memory.begin = memory.peak = memory_bytes(node.process.pid)

    async def sample() -> None:
        while True:
            memory.peak = max(memory.peak, memory_bytes(node.process.pid))
            await asyncio.sleep(SAMPLE_S)

    sampling = asyncio.create_task(sample())
    try:
        yield
    finally:
        sampling.cancel()
        await asyncio.wait((sampling,))

    async def is_back() -> bool:
        memory.end = memory_bytes(node.process.pid)
        return memory.end <= memory.begin + MEMORY_BYTES_MAX

    await eventually(is_back, f"{node.name} gives memory back: {memory}", within_s=SETTLE_S)


async def still_works(nodes: Nodes, chain: Chain) -> None:
    """Undo what operators' calls among the inputs have done; then all answer, and one commits."""
    for node in nodes:
        await _tell(node, "conductor_resume")
        await _tell(node, "conductor_overrideLeader", False)

    async def commits() -> bool:
        leader = await nodes.leader(within_s=SETTLE_S)
        await chain.resume(leader)
        return (await leader.gateway.commit(block := chain.block())).status == 200 and all(
            [await has(node, block.head.height) for node in nodes]
        )

    async def has(node: Node, height: int) -> bool:
        async def has_come() -> bool:
            health = await node.gateway.health()
            return bool(health.body.get("certified_height", 0) >= height)

        return await eventually(has_come, f"{node.name} has {height}", within_s=FAILOVER_S)

    await eventually(commits, "a payload is certified", within_s=SETTLE_S)


async def _tell(node: Node, method: str, *params: object) -> None:
    """Have a method of operators carried out."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    async with asyncio.timeout(FAILOVER_S), connected(node.plan.gateway) as (reader, writer):
        writer.write(posted("/", as_bytes(request)))
        answer = await reader.read(-1)
    assert b'"result":null' in answer, answer


@dataclass(frozen=True, slots=True)
class Log:
    """What a node has printed, looked at as an operator would."""

    events: Counter[str]
    """By level and event."""
    complaints: tuple[str, ...]
    """Lines of errors, and lines that are none of our log."""

    @classmethod
    def of(cls, node: Node) -> Log:
        """The log of a node."""
        events: Counter[str] = Counter()
        complaints = []
        for line in node.log.splitlines():
            match = _LINE.match(line)
            level = match[1] if match else "not a log line"
            events[f"{level} {match[2]}" if match else level] += 1
            is_odd = level not in {"debug", "info", "warning"}
            if is_odd or any(complaint in line for complaint in _COMPLAINTS):
                complaints.append(line)
        return cls(events, tuple(complaints))


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    def __str__(self) -> str:
        return f"{time.monotonic() - self._began_s:.0f} s"
