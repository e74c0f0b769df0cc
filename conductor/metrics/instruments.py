"""What is counted and timed when it happens.

Invariant: label values come from sets that are fixed here, or are server ids of members: never
error texts, never anything of a payload. Each series exists, at zero, before its first event,
except those of peers, which begin with their first probe.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import Metric, UnknownMetricFamily

from conductor.core.values import ServerId
from conductor.ports import Meters, Outcome, TransferTrigger

NAMESPACE = "op_conductor"

COMMIT_SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""A commit takes some milliseconds on a disk that syncs fast, and is refused after 0.8 s."""

WRITE_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

PROBE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)

LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

PAYLOAD_BYTES = tuple(
    float(2**exponent) for exponent in (10, 12, 14, 16, 17, 18, 19, 20, 21, 22, 23, 24)
)
"""1 KiB to 16 MiB, the most that is taken."""


class Instruments(Meters):
    """Implements `ports.Meters`. What it holds is read through `registry` and `families`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._commits = self._counter("commits", "Commits that have ended, by outcome.", "outcome")
        self._commit_seconds = self._histogram(
            "commit_duration_seconds",
            "How long commits took that succeeded, from the payload's arrival to its certificate.",
            COMMIT_SECONDS,
        )
        self._payload_bytes = self._histogram(
            "commit_payload_size_bytes",
            "The size of the payloads that were certified, as SSZ.",
            PAYLOAD_BYTES,
        )
        self._write_seconds = self._histogram(
            "store_write_duration_seconds",
            "How long the store took to make a transaction durable, its sync included.",
            WRITE_SECONDS,
        )
        self._probes = self._counter(
            "probes", "Probes of a peer's health, by outcome.", "peer", "outcome"
        )
        self._probe_seconds = self._histogram(
            "probe_duration_seconds",
            "How long probes took that were answered; who is not serving is asked twice.",
            PROBE_SECONDS,
            "peer",
        )
        self._lag_seconds = self._histogram(
            "loop_lag_seconds", "How late the event loop ran, at each heartbeat.", LAG_SECONDS
        )
        self._begun = self._counter(
            "leaderships_begun", "Leaderships of this node that were established."
        )
        self._leader_changes = self._counter(
            "leader_changes", "Leaderships that this node saw begin, its own included."
        )
        self._campaigns_failed = self._counter(
            "campaigns_failed", "Attempts of this node to lead that came to nothing."
        )
        self._transfers = self._counter(
            "transfers",
            "Attempts of this node to pass its leadership on, by who wanted it and by outcome.",
            "trigger",
            "outcome",
        )
        self._transfers_by_success = {"true": 0, "false": 0}
        self._begin_at_zero()

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, namespace=NAMESPACE, registry=self.registry)

    def _histogram(
        self, name: str, meaning: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(
            name, meaning, labels, namespace=NAMESPACE, registry=self.registry, buckets=buckets
        )

    def _begin_at_zero(self) -> None:
        for outcome in get_args(Outcome):
            self._commits.labels(outcome)
            for trigger in get_args(TransferTrigger):
                self._transfers.labels(trigger, outcome)

    def families(self) -> Iterator[Metric]:
        """Everything that is counted here.

        Without the `_created` series of the library: as many again, and nobody asks for them.
        """
        for family in self.registry.collect():
            samples = [each for each in family.samples if not each.name.endswith("_created")]
            family.samples = samples
            yield family
        yield self._go_transfers()

    def _go_transfers(self) -> Metric:
        """The Go server's name, which no counter of the library could have: it adds `_total`."""
        family = UnknownMetricFamily(
            f"{NAMESPACE}_leader_transfers_count",
            "Number of leader transfers: those of transfers_total, under the Go server's name.",
            labels=["success"],
        )
        for success, count in self._transfers_by_success.items():
            family.add_metric([success], count)
        return family

    # ports.Meters

    def commit_ended(self, outcome: Outcome, size_bytes: int, duration_s: float) -> None:
        """A commit has ended."""
        self._commits.labels(outcome).inc()
        if outcome == "success":
            self._commit_seconds.observe(duration_s)
            self._payload_bytes.observe(size_bytes)

    def transfer_ended(self, trigger: TransferTrigger, outcome: Outcome) -> None:
        """An attempt to pass the own leadership on has ended."""
        self._transfers.labels(trigger, outcome).inc()
        self._transfers_by_success["true" if outcome == "success" else "false"] += 1

    def leader_changed(self, *, is_own: bool) -> None:
        """A leadership has begun."""
        self._leader_changes.inc()
        if is_own:
            self._begun.inc()

    def campaign_failed(self) -> None:
        """An attempt to lead came to nothing."""
        self._campaigns_failed.inc()

    def probe_ended(self, peer: ServerId, duration_s: float | None) -> None:
        """A peer was probed; None: it did not answer."""
        answered = self._probes.labels(peer, "answered")
        missed = self._probes.labels(peer, "missed")
        if duration_s is None:
            missed.inc()
        else:
            answered.inc()
            self._probe_seconds.labels(peer).observe(duration_s)

    def beat(self, lag_s: float) -> None:
        """The event loop was so late."""
        self._lag_seconds.observe(max(0.0, lag_s))

    def wrote(self, duration_s: float) -> None:
        """The store has made a transaction durable."""
        self._write_seconds.observe(duration_s)
