"""A scripted cluster: calm unless the script says otherwise, and judged like any other.

Every step is watched by all checkers of the simulator, so a script only asserts what is its own.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from conductor.core.effects import (
    CommitCertified,
    HandOverDone,
    LeadershipChanged,
    Notice,
    ReadReady,
    RequestFailed,
)
from conductor.core.events import (
    Designated,
    HandOverRequested,
    PayloadSubmitted,
    ReadRequested,
    SequencerStarted,
)
from conductor.core.log import Log
from conductor.core.node import Settings
from conductor.core.values import BlockReference, Entry, Epoch, Index, ServerId
from conductor.simulation.chain import Block, Chain
from conductor.simulation.cluster import Cluster, Shape
from conductor.simulation.disk import DiskRates
from conductor.simulation.network import NetworkRates
from conductor.simulation.node import SimulatedNode
from conductor.simulation.schedule import Judges
from conductor.simulation.trace import Trace
from conductor.simulation.workload import BODY_BYTES

Answer = CommitCertified | RequestFailed | ReadReady | HandOverDone


class Scenario:
    """A cluster whose nodes are started, and the words to tell a story with."""

    def __init__(
        self,
        nodes: int = 3,
        *,
        seed: int = 0,
        settings: Settings | None = None,
        network: NetworkRates | None = None,
        disk: DiskRates | None = None,
        keeps_text: bool = True,
    ) -> None:
        self.settings = settings or Settings()
        shape = Shape(
            nodes=nodes,
            settings=self.settings,
            network=network or NetworkRates(delay_ms_max=1, streams=True),
            disk=disk or DiskRates(latency_ms_max=1),
        )
        self.judges = Judges(shape)
        self.trace = Trace(keeps_text=keeps_text)
        self.cluster = Cluster(shape, Random(seed), checkers=self.judges.all, trace=self.trace)
        self.cluster.on_notice = self._noticed
        self.chain = Chain()
        self.answers: dict[int, Answer] = {}
        self.leaders: list[tuple[int, ServerId, Epoch]] = []
        """Who was established, when (virtual milliseconds), in which epoch."""
        self._requests = 0
        self.cluster.start_all()

    def _noticed(self, node: SimulatedNode, notice: Notice) -> None:
        if isinstance(notice, Answer):
            self.answers[notice.request_id] = notice
        elif isinstance(notice, LeadershipChanged) and notice.leader_id == node.key.server_id:
            self.leaders.append((self.cluster.now_ms, notice.leader_id, notice.epoch))

    # Time

    def run(self, for_ms: int) -> None:
        """Let time pass."""
        self.cluster.scheduler.run_until(self.cluster.now_ms + for_ms)

    def until(self, condition: Callable[[], bool], within_ms: int) -> int:
        """Let time pass until the condition holds; how long that took."""
        began_ms = self.cluster.now_ms
        holds = self.cluster.scheduler.run_until_true(condition, began_ms + within_ms)
        assert holds, f"not within {within_ms} ms:\n" + "\n".join(list(self.trace.lines)[-40:])
        return self.cluster.now_ms - began_ms

    def finish(self) -> None:
        """Let everything come to rest, and hear the checkers' last word."""
        self.run(3 * self.settings.lease_ms)
        self.cluster.checkers.finished(list(self.cluster.nodes.values()))

    # Nodes

    def node(self, name: str) -> SimulatedNode:
        """The node of that name."""
        return self.cluster.nodes[ServerId(name)]

    def log(self, name: str) -> Log:
        """What that node, which is up, holds."""
        return self.node(name).machine.node.log

    def certified(self, name: str) -> Index:
        """How far that node knows its log to be certified."""
        return self.log(name).certified.index

    def epoch(self, name: str) -> Epoch:
        """What that node has promised."""
        return self.node(name).machine.node.promise.epoch

    def leader(self) -> str | None:
        """Who says that it leads, in the newest epoch."""
        leading = [node for node in self.cluster.up if node.leads]
        newest = max(leading, key=lambda node: node.machine.node.promise.epoch, default=None)
        return newest.key.server_id if newest else None

    def tell(self, name: str, event: Any) -> None:
        """Let a node take an event."""
        self.cluster.deliver_to(ServerId(name), event)

    def crash(self, *names: str) -> None:
        """Kill nodes."""
        for name in names:
            self.cluster.crash(ServerId(name))

    def start(self, *names: str) -> None:
        """Start nodes that are down."""
        for name in names:
            self.cluster.start(ServerId(name))

    # The network

    def cut(self, *links: str) -> None:
        """Cut links, each named like `ab`: from a to b."""
        self.cluster.network.cut((ServerId(link[0]), ServerId(link[1])) for link in links)

    def isolate(self, *names: str) -> None:
        """Cut these nodes off from all others, both ways; not from each other."""
        group = [ServerId(name) for name in names]
        self.cluster.network.isolate(group, self.cluster.nodes)

    def heal(self) -> None:
        """Every link works."""
        self.cluster.network.heal()

    # Leaderships

    def designate(self, name: str, told: str | None = None) -> None:
        """Name a server, to itself or to another."""
        self.tell(told or name, Designated(ServerId(name), "the script"))

    def lead(self, name: str, within_ms: int = 5000) -> None:
        """Name a server, again and again, until it is established."""

        def established() -> bool:
            node = self.node(name)
            if node.machine.leadership is None and node.machine.campaign is None:
                self.designate(name)
            return node.leads

        self.until(established, within_ms)

    def hand_over(self, source: str, target: str | None, timeout_ms: int = 5000) -> int:
        """Ask a leader to pass the leadership on; the request's id."""
        self._requests += 1
        wanted = ServerId(target) if target else None
        reason = f"operator {self._requests}"
        event = HandOverRequested(self._requests, wanted, reason, timeout_ms)
        self.tell(source, event)
        return self._requests

    # Requests

    def submit(self, name: str, block: Block) -> int:
        """Hand a payload to a conductor; the request's id."""
        self._requests += 1
        event = PayloadSubmitted(self._requests, block.body_hash, BODY_BYTES, block.reference)
        self.tell(name, event)
        return self._requests

    def read(self, name: str) -> int:
        """Ask for a linearizable read; the request's id."""
        self._requests += 1
        self.tell(name, ReadRequested(self._requests))
        return self._requests

    def start_sequencer(self, name: str, on: Block) -> None:
        """A conductor starts its sequencer on top of that block."""
        self.tell(name, SequencerStarted(on.reference.block_hash))

    def build(self, parent: Block | None) -> Block:
        """A new block on that one."""
        return self.chain.build(parent.reference if parent else None)

    def build_beside(self, block: Block) -> Block:
        """A new block on the parent of that one."""
        return self.chain.build(self.chain.parent(block.reference))

    def build_on_last(self, name: str) -> Block:
        """A new block on the newest payload of that node."""
        last = self.log(name).last_payload
        reference: BlockReference | None = last.block if last else None
        return self.chain.build(reference)

    def answer(self, request_id: int, within_ms: int = 3000) -> Answer:
        """What became of a request."""
        self.until(lambda: request_id in self.answers, within_ms)
        return self.answers[request_id]

    def commit(self, name: str, within_ms: int = 3000) -> Block:
        """Certify one more payload there; the block."""
        block = self.build_on_last(name)
        answer = self.answer(self.submit(name, block), within_ms)
        assert isinstance(answer, CommitCertified), answer
        return block

    def holds(self, name: str, block: Block) -> bool:
        """Whether that node's window has the block, certified or not."""
        return bool(self.log(name).payloads_of_block(block.reference.block_hash))

    def entries(self, name: str) -> list[Entry]:
        """The entries of that node's window."""
        return list(self.log(name).entries)
