"""The page: in two formats, true to what it was made from, and harmless to the node."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Iterator

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from conductor.core.values import ServerId
from conductor.errors import Overloaded
from conductor.metrics import instruments
from conductor.metrics.scrape import Metrics
from tests.metrics.nodes import Samples, Subject, open_metrics_families, samples_of, value

PROMETHEUS_3_ACCEPTS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,*/*;q=0.2"
)


async def scraped(subject: Subject) -> Samples:
    metrics = subject.metrics()
    try:
        page, _ = await metrics.scrape("")
    finally:
        metrics.close()
    return samples_of(page)


async def test_leader_is_shown_as_it_says_of_itself() -> None:
    samples = await scraped(Subject())

    shown = {
        name: value(samples, name)
        for name in ("up", "epoch", "is_leader", "established", "serving", "quorum_safe")
    }
    assert shown == {
        "up": 1,
        "epoch": 7,
        "is_leader": 1,
        "established": 1,
        "serving": 1,
        "quorum_safe": 1,
    }
    assert (value(samples, "certified_index"), value(samples, "certified_height")) == (104, 99)
    assert (value(samples, "last_index"), value(samples, "base_index")) == (105, 3)
    assert (value(samples, "quorum"), value(samples, "voters")) == (2, 3)
    assert (value(samples, "log_lines_dropped_total"), value(samples, "paused")) == (4, 0)
    assert value(samples, "messages_rejected_total") == 5
    labels = {"version": "1.2.3", "server_id": "a", "incarnation": "aaaaaaaa"}
    assert value(samples, "info", cluster_name="test", cluster_id="c0ffee", **labels) == 1


async def test_peers_are_shown_one_by_one_and_the_node_itself_is_none() -> None:
    samples = await scraped(Subject())

    assert value(samples, "peer_reachable", peer="b") == value(samples, "peer_serving", peer="b")
    assert value(samples, "peer_reachable", peer="c") == 0
    assert value(samples, "peer_lag_entries", peer="b") == 0
    assert value(samples, "peer_lag_entries", peer="c") == 15
    assert not any(("peer", "a") in labels for _, labels in samples)


async def test_follower_claims_no_lag_of_others() -> None:
    subject = Subject()
    subject.change(role="follower")

    samples = await scraped(subject)

    assert value(samples, "role", role="follower") == 1
    assert value(samples, "role", role="leader") == 0
    assert not [name for name, _ in samples if name.endswith("lag_entries")]


async def test_what_an_operator_changed_is_seen() -> None:
    subject = Subject(is_up=False)
    subject.change(
        paused=True,
        leader_overridden=True,
        health=dataclasses.replace(subject.status.health, leader_id="", quorum_safe=False),
    )

    samples = await scraped(subject)

    assert value(samples, "paused") == value(samples, "leader_overridden") == 1
    assert value(samples, "up") == value(samples, "established") == 0
    assert value(samples, "quorum_safe") == 0


async def test_events_are_counted_by_outcome() -> None:
    subject = Subject()
    meters = subject.instruments
    meters.commit_ended("success", 100_000, 0.004)
    meters.commit_ended("refused", 5_000_000, 0.9)
    meters.commit_ended("unknown", 5_000_000, 0.9)
    meters.transfer_ended("operator", "success")
    meters.transfer_ended("health", "refused")
    meters.transfer_ended("health", "unknown")
    meters.leader_changed(is_own=True)
    meters.leader_changed(is_own=False)
    meters.campaign_failed()
    meters.probe_ended(ServerId("b"), 0.003)
    meters.probe_ended(ServerId("c"), None)
    meters.beat(-0.001)
    meters.wrote(0.002)

    samples = await scraped(subject)

    for outcome in ("success", "refused", "unknown"):
        assert value(samples, "commits_total", outcome=outcome) == 1
    assert value(samples, "commit_duration_seconds_sum") == 0.004
    assert value(samples, "commit_payload_size_bytes_sum") == 100_000
    assert value(samples, "transfers_total", trigger="operator", outcome="success") == 1
    assert value(samples, "transfers_total", trigger="health", outcome="refused") == 1
    assert value(samples, "leader_transfers_count", success="true") == 1
    assert value(samples, "leader_transfers_count", success="false") == 2
    assert value(samples, "leader_changes_total") == 2
    assert value(samples, "leaderships_begun_total") == value(samples, "campaigns_failed_total")
    assert value(samples, "probes_total", peer="b", outcome="answered") == 1
    assert value(samples, "probes_total", peer="b", outcome="missed") == 0
    assert value(samples, "probes_total", peer="c", outcome="missed") == 1
    assert value(samples, "probe_duration_seconds_bucket", peer="b", le="0.0025") == 0
    assert value(samples, "probe_duration_seconds_bucket", peer="b", le="0.005") == 1
    assert value(samples, "loop_lag_seconds_bucket", le="0.001") == 1
    assert value(samples, "store_write_duration_seconds_count") == 1


def test_commit_buckets_go_from_a_millisecond_to_a_second() -> None:
    assert instruments.COMMIT_SECONDS[0] == 0.001
    assert instruments.COMMIT_SECONDS[-1] == 1.0
    for name in ("COMMIT", "WRITE", "PROBE", "LAG"):
        bounds = getattr(instruments, f"{name}_SECONDS")
        assert list(bounds) == sorted(set(bounds))


async def test_two_nodes_in_a_process_do_not_share_counts() -> None:
    first, second = Subject(), Subject()

    first.instruments.commit_ended("success", 1, 0.001)

    assert value(await scraped(second), "commits_total", outcome="success") == 0


@pytest.mark.parametrize("accept", ["application/openmetrics-text", PROMETHEUS_3_ACCEPTS])
async def test_client_that_takes_open_metrics_gets_it(accept: str) -> None:
    metrics = Subject().metrics()
    page, content_type = await metrics.scrape(accept)
    metrics.close()

    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert "op_conductor_commits" in {family.name for family in open_metrics_families(page)}


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "text/plain",
        "text/plain;version=1.x",
        "text/html",
        ";;,,==",
        "x/openmetrics-text",
        "\x00" * 5000,
        "text/plain;version=" + "9" * 5000,
    ],
)
async def test_every_other_client_gets_text(accept: str) -> None:
    metrics = Subject().metrics()
    page, content_type = await metrics.scrape(accept)
    metrics.close()

    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert samples_of(page)


@pytest.mark.parametrize("version", ["1.x", "99.y", "", "\x7f", "1.0.0.0.0.0", "-1"])
async def test_made_up_versions_of_open_metrics_change_nothing(version: str) -> None:
    metrics = Subject().metrics()
    _, content_type = await metrics.scrape(f"application/openmetrics-text;version={version}")
    metrics.close()

    assert content_type.startswith("application/openmetrics-text; version=1.0.0;")


async def test_page_has_no_series_of_creation_times() -> None:
    assert not [name for name, _ in await scraped(Subject()) if name.endswith("_created")]


async def test_labels_are_not_steered_from_outside() -> None:
    """A server id is the only text that others choose: whatever it is, it stays one value."""
    subject = Subject()
    name = 'b"} 1\nop_conductor_up{x="\\'
    member = dataclasses.replace(subject.status.members[1], server_id=name)
    subject.change(members=(subject.status.members[0], member))

    samples = await scraped(subject)

    assert value(samples, "peer_reachable", peer=name) == 1
    assert [name for name, _ in samples].count("op_conductor_up") == 1


async def test_look_happens_on_the_node_s_thread_and_in_one_step() -> None:
    subject = Subject()
    threads = []

    def look() -> object:
        threads.append(threading.current_thread())
        return subject.status

    metrics = subject.metrics(look)  # type: ignore[arg-type]  # object stands for the status
    await metrics.scrape("")
    metrics.close()

    assert threads == [threading.main_thread()]


class Held(Collector):
    """A metric that cannot be had before a gate opens, as on a machine that has no time left."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.asked = 0

    def collect(self) -> Iterator[Metric]:
        self.asked += 1
        self.gate.wait(60)
        return iter(())


async def test_pages_that_take_too_long_are_refused_and_not_made_later() -> None:
    subject, held = Subject(timeout_s=0.05), Held()
    subject.instruments.registry.register(held)
    metrics = subject.metrics()

    try:
        async with asyncio.timeout(30):
            refusals = await asyncio.gather(
                *[metrics.scrape("") for _ in range(20)], return_exceptions=True
            )
    finally:
        held.gate.set()

    assert {type(refusal) for refusal in refusals} == {Overloaded}
    assert held.asked == 1
    assert await still_answers(metrics)
    metrics.close()


async def still_answers(metrics: Metrics) -> bool:
    """Whether a page comes in the end."""
    async with asyncio.timeout(10):
        while True:
            try:
                page, _ = await metrics.scrape("")
            except Overloaded:
                continue
            return bool(page)


async def test_look_that_fails_is_the_caller_s_error_and_nothing_more() -> None:
    subject = Subject()
    fail = True

    def look() -> object:
        if fail:
            raise RuntimeError("a bug")
        return subject.status

    metrics = subject.metrics(look)  # type: ignore[arg-type]  # object stands for the status
    with pytest.raises(RuntimeError):
        await metrics.scrape("")

    fail = False
    page, _ = await metrics.scrape("")
    metrics.close()
    assert page
