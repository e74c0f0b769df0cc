"""A leader that stood still while another took over finds out before it says anything else."""

from __future__ import annotations

import signal
from pathlib import Path

from conductor.devnet.journal import Record
from conductor.devnet.payloads import BlockBuilder
from tests.e2e.nodes import FAILOVER_S, FORM_S, Chain, Node, eventually, running
from tests.e2e.sequencing import sequencing

PAUSE_MS = 3000
SOON_S = 1.0


def builder_of(node: Node) -> BlockBuilder:
    return BlockBuilder(seed=1, builder=node.name, transactions_bytes=100_000)


async def test_paused_leader_never_certifies_in_its_old_epoch(tmp_path: Path) -> None:
    """Its sequencer offers it the old block all the while, as op-node would."""
    async with (
        running(3, tmp_path) as nodes,
        sequencing(nodes, tmp_path, builder_of, block_time_ms=50) as run,
    ):
        await run.next_gossip(within_s=FORM_S)
        old = await nodes.leader(within_s=FAILOVER_S)
        chain = Chain()
        await chain.resume(old)

        old.signal(signal.SIGSTOP)
        stopped_ms = run.now_ms()
        await run.next_gossip(within_s=FAILOVER_S, without=old)

        async def has_paused() -> list[Record]:
            return run.gossips(since_ms=stopped_ms + PAUSE_MS, without=old)

        await eventually(has_paused, "the chain goes on meanwhile", within_s=3 * FAILOVER_S)
        resumed_ms = run.now_ms()
        old.signal(signal.SIGCONT)

        answer = await old.gateway.commit(chain.block())
        assert answer.body["success"] is False, answer

        async def says_it_does_not_lead() -> bool:
            return (await old.gateway.leader()).body.get("is_leader") is False

        await eventually(says_it_does_not_lead, "it does not lead", within_s=SOON_S)
        new = await nodes.leader(within_s=FAILOVER_S)
        assert new is not old
        await run.next_gossip(within_s=FAILOVER_S)
        verdict = await run.verdict()

        assert verdict.passed, "\n".join(verdict.lines())
        late = [record for record in run.gossips(since_ms=resumed_ms) if record.node == old.name]
        assert not late
