"""`GET /metrics` of real nodes: every page parses, and says what is so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import aiohttp

from tests.e2e.nodes import FAILOVER_S, Chain, Node, Nodes, eventually, running
from tests.metrics.nodes import Samples, open_metrics_families, samples_of, value

SEEN_S = 10.0
"""Some probes and heartbeats, on a machine that has other things to do."""
BLOCKS = 5


async def page_of(node: Node, accept: str) -> bytes:
    """A page, in the format asked for."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"http://{node.plan.gateway}/metrics",
            headers={"Accept": accept},
            timeout=aiohttp.ClientTimeout(total=SEEN_S),
        ) as answer,
    ):
        assert answer.status == 200
        assert answer.content_type in accept
        return await answer.read()


async def scrape(node: Node) -> Samples:
    """All samples of a node."""
    return samples_of(await page_of(node, "text/plain"))


async def until(node: Node, what: str, holds: Callable[[Samples], bool]) -> Samples:
    """The first scrape of which that holds."""

    async def look() -> Samples | None:
        samples = await scrape(node)
        return samples if holds(samples) else None

    return await eventually(look, f"{node.name}: {what}", within_s=SEEN_S)


async def test_metrics_follow_commits_and_a_kill(tmp_path: Path) -> None:
    async with running(3, tmp_path) as nodes:
        leader = await nodes.leader(within_s=FAILOVER_S)
        follower, other = nodes.others(leader)
        before = await shows_a_leader(leader, nodes)
        await shows_a_follower(follower)

        chain = Chain()
        for _ in range(BLOCKS):
            await chain.extend(leader)
        await shows_the_commits(leader, before)
        await until(
            follower,
            "knows what is certified",
            lambda samples: value(samples, "certified_height") == BLOCKS,
        )
        refused = await follower.gateway.commit(chain.block())
        assert refused.body["outcome"] == "refused"
        after = await scrape(follower)
        assert value(after, "commits_total", outcome="refused") == 1
        assert value(after, "commits_total", outcome="success") == 0

        await other.process.kill()
        await until(
            leader,
            "misses the killed node",
            lambda samples: value(samples, "peer_reachable", peer=other.name) == 0,
        )
        await chain.extend(leader)
        samples = await until(
            leader,
            "counts what the killed node lacks",
            lambda samples: value(samples, "peer_lag_entries", peer=other.name) > 0,
        )
        assert value(samples, "peer_serving", peer=other.name) == 0
        assert value(samples, "probes_total", peer=other.name, outcome="missed") > 0


async def shows_a_leader(leader: Node, nodes: Nodes) -> Samples:
    samples = await until(
        leader,
        "sees its peers",
        lambda samples: all(
            value(samples, "peer_serving", peer=node.name) == 1 for node in nodes.others(leader)
        ),
    )
    epoch = (await leader.gateway.leader()).body["epoch"]
    for name, expected in (
        ("up", 1),
        ("is_leader", 1),
        ("established", 1),
        ("serving", 1),
        ("quorum_safe", 1),
        ("paused", 0),
        ("epoch", epoch),
        ("quorum", 2),
        ("voters", 3),
        ("certified_height", 0),
        ("log_lines_dropped_total", 0),
        ("messages_rejected_total", 0),
    ):
        assert value(samples, name) == expected, name
    assert value(samples, "leaderships_begun_total") >= 1
    assert value(samples, "loop_lag_seconds_count") > 0
    assert samples["process_resident_memory_bytes", frozenset()] > 2**20
    return samples


async def shows_a_follower(follower: Node) -> None:
    samples = await until(
        follower, "knows the leader", lambda samples: value(samples, "established") == 1
    )
    assert value(samples, "is_leader") == value(samples, "leaderships_begun_total") == 0
    assert value(samples, "leader_changes_total") >= 1
    assert value(samples, "role", role="follower") == 1
    assert not [name for name, _ in samples if name.endswith("lag_entries")]


async def shows_the_commits(leader: Node, before: Samples) -> None:
    samples = await until(
        leader,
        "has everything everywhere",
        lambda samples: all(
            lag == 0 for (name, _), lag in samples.items() if name.endswith("lag_entries")
        ),
    )
    assert value(samples, "commits_total", outcome="success") == BLOCKS
    assert value(samples, "commit_duration_seconds_count") == BLOCKS
    assert 0 < value(samples, "commit_duration_seconds_sum") < BLOCKS * SEEN_S
    assert value(samples, "commit_payload_size_bytes_sum") > BLOCKS * 10_000
    assert value(samples, "certified_height") == BLOCKS
    for name in ("certified_index", "last_index"):
        assert value(samples, name) == value(before, name) + BLOCKS
    writes = "store_write_duration_seconds_count"
    # Less than one a block: a follower's disk may be first, and waiting writes share a transaction.
    assert value(samples, writes) > value(before, writes)


async def test_transfer_and_pause_are_seen_and_open_metrics_parses(tmp_path: Path) -> None:
    async with running(3, tmp_path) as nodes:
        leader = await nodes.leader(within_s=FAILOVER_S)
        await shows_a_leader(leader, nodes)

        await leader.gateway.call("conductor_transferLeader")
        samples = await until(
            leader,
            "has handed over",
            lambda samples: (
                value(samples, "is_leader") == 0
                and value(samples, "transfers_total", trigger="operator", outcome="success") == 1
            ),
        )
        assert value(samples, "leader_transfers_count", success="true") == 1
        assert value(samples, "leader_transfers_count", success="false") == 0

        leader = await nodes.leader(within_s=FAILOVER_S)
        await leader.gateway.call("conductor_pause")
        samples = await until(
            leader,
            "is relieved because it is paused",
            lambda samples: (
                value(samples, "is_leader") == 0
                and value(samples, "transfers_total", trigger="health", outcome="success") == 1
            ),
        )
        assert value(samples, "paused") == 1
        assert value(samples, "serving") == 0

        page = await page_of(leader, "application/openmetrics-text")
        families = {family.name for family in open_metrics_families(page)}
        assert {"op_conductor_commits", "op_conductor_loop_lag_seconds"} <= families
