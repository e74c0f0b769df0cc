"""How things stand, asked when someone looks: every gauge, and counts that are kept elsewhere.

Invariant: it says what `/health`, `/leader` and `GetStatus` say, and nothing that this node does
not know: what only the leader knows has no series elsewhere, instead of a zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from conductor.metrics.instruments import NAMESPACE
from conductor.service import MemberView, StatusView

ROLES = ("leader", "follower", "candidate", "forming")


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at the node."""

    status: StatusView
    is_up: bool
    """The start is complete."""
    log_lines_dropped: int
    messages_rejected: int


_GAUGES: tuple[tuple[str, str, Callable[[StatusView], float]], ...] = (
    (
        "epoch",
        "The epoch of the leadership that this node knows, or the highest one it has promised.",
        lambda status: status.health.epoch,
    ),
    (
        "is_leader",
        "1 while this node leads, established and in contact with a quorum.",
        lambda status: status.health.is_leader,
    ),
    (
        "established",
        "1 while this node knows an established leader, itself or another.",
        lambda status: bool(status.health.leader_id),
    ),
    ("paused", "1 while an operator has paused this node.", lambda status: status.paused),
    (
        "leader_overridden",
        "1 while an operator makes this node say that it leads.",
        lambda status: status.leader_overridden,
    ),
    ("serving", "1 while this node is fit to lead.", lambda status: status.health.serving),
    (
        "quorum_safe",
        "0 when the quorum rule lets two sides of a partition lead at once.",
        lambda status: status.health.quorum_safe,
    ),
    (
        "quorum",
        "How many voters make a quorum; 0 until the cluster has formed.",
        lambda status: status.quorum,
    ),
    (
        "voters",
        "The voters of the cluster; 0 until it has formed.",
        lambda status: sum(member.voter for member in status.members),
    ),
    (
        "certified_index",
        "The newest index of the log that this node knows to be certified.",
        lambda status: status.certified.index,
    ),
    (
        "certified_height",
        "The height of the newest payload that this node knows to be certified; 0 without one.",
        lambda status: status.health.certified_height,
    ),
    ("last_index", "The newest index of this node's log.", lambda status: status.last.index),
    (
        "base_index",
        "The index up to which this node's log was pruned.",
        lambda status: status.base_index,
    ),
)


def state_families(seen: Seen) -> Iterator[Metric]:
    """Everything that is known by looking."""
    status = seen.status
    yield _gauge("up", "1 once this node has finished starting up.", seen.is_up)
    yield _info(status)
    yield _roles(status)
    for name, meaning, value in _GAUGES:
        yield _gauge(name, meaning, value(status))
    yield from _peers(status)
    yield CounterMetricFamily(
        f"{NAMESPACE}_log_lines_dropped",
        "Lines of the log that nobody read in time.",
        value=seen.log_lines_dropped,
    )
    yield CounterMetricFamily(
        f"{NAMESPACE}_messages_rejected",
        "Messages of peers that were dropped because a signature or a name in them was wrong.",
        value=seen.messages_rejected,
    )


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{NAMESPACE}_{name}", meaning, value=float(value))


def _info(status: StatusView) -> Metric:
    values = {
        "version": status.health.version,
        "server_id": status.health.server_id,
        "incarnation": status.incarnation,
        "cluster_name": status.cluster_name,
        "cluster_id": status.cluster_id.hex(),
    }
    family = GaugeMetricFamily(
        f"{NAMESPACE}_info", "What this node is; always 1.", labels=list(values)
    )
    family.add_metric(list(values.values()), 1)
    return family


def _roles(status: StatusView) -> Metric:
    family = GaugeMetricFamily(
        f"{NAMESPACE}_role",
        "1 for what this node is doing, 0 for what it is not; "
        "a leader whose epoch is not established is in this role already.",
        labels=["role"],
    )
    for role in ROLES:
        family.add_metric([role], status.role == role)
    return family


def _peers(status: StatusView) -> Iterator[Metric]:
    """One series a member, this node left out."""
    peers = [each for each in status.members if each.server_id != status.health.server_id]

    def family(
        name: str, meaning: str, shown: list[MemberView], value: Callable[[MemberView], float]
    ) -> Metric:
        made = GaugeMetricFamily(f"{NAMESPACE}_{name}", meaning, labels=["peer"])
        for member in shown:
            made.add_metric([member.server_id], float(value(member)))
        return made

    yield family(
        "peer_reachable",
        "1 while the peer answers this node's probes.",
        peers,
        lambda member: member.reachable,
    )
    yield family(
        "peer_serving",
        "1 while the peer is fit to lead, by its own word to this node.",
        peers,
        lambda member: member.serving,
    )
    yield family(
        "peer_lag_entries",
        "Entries of this leader's log that the peer has not acknowledged in this epoch; "
        "only the leader has it.",
        peers if status.role == "leader" else [],
        lambda member: max(0, status.last.index - member.match_index),
    )
