"""A node to look at: the status of a leader of three, and whatever a test changes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from conductor.core.values import Digest, Epoch, Index, Position
from conductor.metrics import Instruments, Metrics, Sources
from conductor.service import HealthView, MemberView, StatusView

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def member(name: str, *, role: str, match_index: int, reachable: bool = True) -> MemberView:
    """A voter."""
    return MemberView(
        server_id=name,
        incarnation=name * 8,
        public_key=bytes(32),
        grpc_address=f"{name}:18080",
        gateway_address=f"{name}:8080",
        voter=True,
        role=role,
        reachable=reachable,
        serving=reachable,
        match_index=match_index,
    )


def leader_status() -> StatusView:
    """Node a leads b, which has everything, and c, which is gone."""
    health = HealthView(
        serving=True,
        identity="aa" * 32,
        epoch=Epoch(7),
        is_leader=True,
        server_id="a",
        leader_id="a",
        certified_height=99,
        quorum_safe=True,
        reasons=(),
        version="1.2.3",
    )
    return StatusView(
        cluster_name="test",
        cluster_id=bytes.fromhex("c0ffee"),
        incarnation="a" * 8,
        role="leader",
        health=health,
        last=Position(Index(105), Epoch(7), Digest(bytes(32))),
        certified=Position(Index(104), Epoch(7), Digest(bytes(32))),
        base_index=Index(3),
        quorum=2,
        members=(
            member("a", role="leader", match_index=105),
            member("b", role="follower", match_index=105),
            member("c", role="unknown", match_index=90, reachable=False),
        ),
        paused=False,
        leader_overridden=False,
    )


@dataclass
class Subject:
    """Metrics over a status that a test sets."""

    status: StatusView = field(default_factory=leader_status)
    instruments: Instruments = field(default_factory=Instruments)
    is_up: bool = True
    timeout_s: float = 10.0

    def change(self, **changes: object) -> None:
        """Another status from now on."""
        self.status = dataclasses.replace(self.status, **changes)  # type: ignore[arg-type]  # names of fields

    def metrics(self, look: Callable[[], StatusView] | None = None) -> Metrics:
        """What is scraped; `look` stands for the status."""
        sources = Sources(
            status=look or (lambda: self.status),
            is_up=lambda: self.is_up,
            log_lines_dropped=lambda: 4,
            messages_rejected=lambda: 5,
        )
        return Metrics(self.instruments, sources, timeout_s=self.timeout_s)


def samples_of(page: bytes) -> Samples:
    """The samples of a page in the text format, by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def open_metrics_families(page: bytes) -> list[Metric]:
    """The metrics of a page in the OpenMetrics format."""
    parse = open_metrics.text_string_to_metric_families
    return list(parse(page.decode()))  # type: ignore[no-untyped-call]  # the library has no types


def value(samples: Samples, name: str, **labels: str) -> float:
    """One sample of ours. KeyError: there is none."""
    return samples[f"op_conductor_{name}", frozenset(labels.items())]
