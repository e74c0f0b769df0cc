"""Sequencers: what op-node does to its conductor, at its worst.

Each builds one block after another on its own head, hands it to its own conductor, tries twice
and then builds another in its place. Its conductor starts it at the certified head and stops it
again, late: a sequencer of a past leadership may go on for a while, and now and then L1
reorganises under one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from conductor.core.effects import CommitCertified, LeadershipChanged, Notice, RequestFailed
from conductor.core.events import (
    PayloadSubmitted,
    ReadRequested,
    RequestAbandoned,
    SequencerStarted,
)
from conductor.core.values import BlockReference, ServerId
from conductor.errors import Conflict
from conductor.simulation.chain import NEWEST, OLDER, Block, Chain
from conductor.simulation.checkers.continuity import Continuity
from conductor.simulation.cluster import Cluster
from conductor.simulation.node import SimulatedNode

BODY_BYTES = 100


@dataclass(frozen=True, slots=True)
class WorkloadRates:
    """How the sequencers behave; times in milliseconds, rates as probabilities."""

    block_ms: int = 40
    commit_timeout_ms: int = 150
    stop_lag_ms_max: int = 200
    """For how long a sequencer may go on after its conductor lost the leadership."""
    reorg: float = 0.0
    """For each block: that L1 reorganises before it."""
    skip_stop: float = 0.0
    """That a lost leadership does not stop the sequencer at all."""
    read: float = 0.0
    """For each block: that someone asks for a linearizable read."""
    behind: float = 0.4
    """Where the cluster goes on from another's block: that an op-node does not have it."""
    brings: float = 0.4
    """And that the block itself is submitted, before anything on top of it."""


class Sequencer:
    """The op-node beside one conductor."""

    def __init__(
        self,
        cluster: Cluster,
        node: SimulatedNode,
        chain: Chain,
        continuity: Continuity,
        rates: WorkloadRates,
    ) -> None:
        self._cluster = cluster
        self._node = node
        self._rates = rates
        self._chain = chain
        self._continuity = continuity
        self._sealed: Block | None = None
        self._tries = 0
        self._conflicts = 0
        self._request: int | None = None
        self._by_reorg = False
        self.active = False
        self.head: BlockReference | None = None

    # Its conductor

    def start(self) -> None:
        """Begin to build on the newest payload that the conductor knows, once that is certified."""
        log = self._node.machine.node.log
        last = log.last_payload
        if last is not None and last.index > log.certified.index:
            return
        self.active = True
        self.head = last.block if last else None
        self._drop()
        if last is None and log.head is not None:
            self._inherit()
        if self.head is not None:
            self._cluster.deliver(self._node, SequencerStarted(self.head.block_hash))

    def _inherit(self) -> None:
        """Begin in the place of another cluster's sequencer, or a block behind it."""
        chance, rates = self._cluster.random.random, self._rates
        self.head = OLDER if chance() < rates.behind else NEWEST
        if chance() < rates.brings:
            self._sealed = self._chain.add(NEWEST)

    def stop(self) -> None:
        """Stop building."""
        self.active = False
        self._drop()

    def _drop(self) -> None:
        self._sealed, self._request = None, None
        self._tries = self._conflicts = 0
        self._by_reorg = False

    # Blocks

    def tick(self, request_id: int, *, reorg: bool) -> None:
        """Build and submit, or submit again what has not been certified."""
        if not self.active or self._request is not None:
            return
        if reorg and self._sealed is None and self.head is not None:
            self.head = self._chain.parent(self.head)
            self._by_reorg = True
        if self._sealed is None or self._tries >= 2:
            self._sealed = self._chain.build(self.head, by_reorg=self._by_reorg)
            self._tries = 0
        self._tries += 1
        self._request = request_id
        event = PayloadSubmitted(
            request_id, self._sealed.body_hash, BODY_BYTES, self._sealed.reference
        )
        self._cluster.deliver(self._node, event)

    def give_up(self, request_id: int) -> None:
        """The call took too long: op-node hangs up."""
        if self._request == request_id:
            self._request = None
            self._cluster.deliver(self._node, RequestAbandoned(request_id))

    def answered(self, notice: CommitCertified | RequestFailed) -> None:
        """The conductor has answered a call."""
        if notice.request_id != self._request or self._sealed is None:
            return
        self._request = None
        if isinstance(notice, CommitCertified):
            self._continuity.gossip(self._sealed)
            self.head = self._sealed.reference
            self._drop()
        elif isinstance(notice.error, Conflict):
            self._conflicts += 1
            if self._conflicts > 3:
                self.stop()


class Workload:
    """One sequencer beside each node."""

    def __init__(self, cluster: Cluster, rates: WorkloadRates) -> None:
        self._cluster = cluster
        self._requests = 0
        self._stopped = False
        rule = cluster.shape.settings.commit_rule
        self.rates = rates
        self.chain = Chain()
        head = None
        if cluster.shape.inherits:
            self.chain.add(OLDER)
            head = self.chain.add(NEWEST)
        self.continuity = Continuity(self.chain, allows_forks=rule == "any", head=head)
        self.sequencers = {
            server_id: Sequencer(cluster, node, self.chain, self.continuity, rates)
            for server_id, node in cluster.nodes.items()
        }
        cluster.on_notice = self._noticed
        cluster.scheduler.after(rates.block_ms, self._tick)

    def next_request(self) -> int:
        """A new request id."""
        self._requests += 1
        return self._requests

    def burst(self, server_id: ServerId) -> None:
        """Submit a few payloads to a leader at once, each on top of the one before.

        They take the place of its sequencer's: the commit rule knows one source of payloads.
        """
        self.sequencers[server_id].stop()
        node = self._cluster.nodes[server_id]
        last = node.machine.node.log.last_payload
        parent = last.block if last else None
        for _ in range(1 + int(self._cluster.random.random() * 5)):
            block = self.chain.build(parent)
            parent = block.reference
            request_id = self.next_request()
            event = PayloadSubmitted(request_id, block.body_hash, BODY_BYTES, parent)
            self._cluster.deliver(node, event)

    def stop(self) -> None:
        """No more blocks and no more reads."""
        self._stopped = True

    def _tick(self) -> None:
        if self._stopped:
            return
        chance, rates = self._cluster.random.random, self.rates
        for server_id, sequencer in self.sequencers.items():
            node = self._cluster.nodes[server_id]
            if not node.is_up:
                sequencer.stop()
            elif node.leads and not sequencer.active:
                sequencer.start()
            if sequencer.active:
                request_id = self.next_request()
                hang_up = partial(sequencer.give_up, request_id)
                self._cluster.scheduler.after(rates.commit_timeout_ms, hang_up)
                sequencer.tick(request_id, reorg=chance() < rates.reorg)
            if node.is_up and rates.read and chance() < rates.read:
                self._cluster.deliver(node, ReadRequested(self.next_request()))
        self._cluster.scheduler.after(1 + int(chance() * 2 * rates.block_ms), self._tick)

    def _noticed(self, node: SimulatedNode, notice: Notice) -> None:
        server_id = node.key.server_id
        sequencer = self.sequencers[server_id]
        if isinstance(notice, CommitCertified | RequestFailed):
            sequencer.answered(notice)
        elif isinstance(notice, LeadershipChanged) and notice.leader_id != server_id:
            self._leadership_lost(server_id)

    def _leadership_lost(self, server_id: ServerId) -> None:
        random, rates = self._cluster.random, self.rates
        if self.sequencers[server_id].active and random.random() >= rates.skip_stop:
            lag_ms = int(random.random() * (rates.stop_lag_ms_max + 1))
            self._cluster.scheduler.after(lag_ms, self.sequencers[server_id].stop)
