"""What the answers of conductors say about the cluster, and what would mend it.

Invariant: pure. The verdict and the exit code follow from the answers alone.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from conductor.cli.answers import Answer, answered, failures
from conductor.exit_codes import ExitCode

if TYPE_CHECKING:
    from conductor.v1.conductor_pb2 import GetStatusResponse, MemberStatus

StatusAnswer: TypeAlias = "Answer[GetStatusResponse]"
"""What came of asking one server for its status."""


class State(enum.Enum):
    """The cluster in a word."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    NO_LEADER = "no_leader"
    UNREACHABLE = "unreachable"


EXIT_CODES = {
    State.HEALTHY: ExitCode.OK,
    State.DEGRADED: ExitCode.DEGRADED,
    State.NO_LEADER: ExitCode.NO_LEADER,
    State.UNREACHABLE: ExitCode.UNREACHABLE,
}


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict on the cluster, and what it was made from."""

    state: State
    problems: tuple[str, ...]
    """Sentences for people: why the state is not healthy, what would mend it, and what else the
    servers tell."""
    answers: tuple[StatusAnswer, ...]

    @property
    def view(self) -> GetStatusResponse | None:
        """The answer that knows most."""
        return best_view(self.answers)

    @property
    def statuses(self) -> Mapping[str, GetStatusResponse]:
        """What the servers that answered say of themselves, by server id."""
        return {status.server_id: status for _, status in answered(self.answers)}

    @property
    def exit_code(self) -> ExitCode:
        """What `status` exits with."""
        return EXIT_CODES[self.state]


def leads(status: GetStatusResponse) -> bool:
    """Whether that server leads; `is_leader` is also true of one that an operator makes say so."""
    return status.role == "leader" and status.leader_id == status.server_id


def best_view(answers: Sequence[StatusAnswer]) -> GetStatusResponse | None:
    """The answer that knows most: a leader's, else one that knows a leader, else that of the
    highest epoch; None without any.
    """
    return max(
        (status for _, status in answered(answers)),
        key=lambda status: (leads(status), bool(status.leader_id), status.epoch),
        default=None,
    )


def make_report(answers: Sequence[StatusAnswer]) -> Report:
    """Judge the answers of one or more servers of one cluster."""
    silent = tuple(str(error) for error in failures(answers))
    view = best_view(answers)
    if view is None:
        return Report(State.UNREACHABLE, silent, tuple(answers))
    troubles = [
        *silent,
        *_sick_voters(view, answers),
        *_rival_leaders(answers),
        *_strangers(answers),
        *_steered(answers),
    ]
    if not view.leader_id:
        state = State.NO_LEADER
        need = f"one needs {view.quorum} voters that reach each other"
        why = need if view.quorum else "the cluster has not formed yet"
        troubles.insert(0, f"no leader: {why}")
    else:
        state = State.DEGRADED if troubles else State.HEALTHY
    return Report(state, (*troubles, *_remarks(view, answers)), tuple(answers))


def missing_entries(report: Report, member: MemberStatus) -> int | None:
    """How many certified entries a member lacks on its disk; None when no answer tells."""
    view, own = report.view, report.statuses.get(member.member.server_id)
    index = member.match_index or (own.last.index if own is not None else None)
    if view is None or index is None:
        return None
    return max(0, int(view.certified.index) - int(index))


def _sick_voters(view: GetStatusResponse, answers: Sequence[StatusAnswer]) -> Iterator[str]:
    """A voter that says itself why it is not fit is quoted once, here or as paused."""
    own = {status.server_id: status for _, status in answered(answers)}
    for status in view.members:
        name = status.member.server_id
        if not status.member.voter:
            continue
        if not status.reachable:
            yield f"voter {name} is unreachable from {view.server_id}"
        elif not status.serving and name not in own:
            yield (
                f"voter {name} is not serving: ask it why: "
                f"op-conductor status --server {status.member.grpc_address}"
            )
        elif not status.serving and own[name].serving:
            yield (
                f"voter {name} serves by its own word; {view.server_id} has not probed it long "
                "enough yet"
            )
        elif not status.serving and not own[name].paused:
            why = "; ".join(own[name].reasons)
            yield f"voter {name} is not serving" + (f": {why}" if why else "")


def _rival_leaders(answers: Sequence[StatusAnswer]) -> Iterator[str]:
    leaders = {status.server_id: status for _, status in answered(answers) if leads(status)}
    if len(leaders) > 1:
        names = ", ".join(f"{name} (epoch {leaders[name].epoch})" for name in sorted(leaders))
        yield f"more than one server answered that it leads: {names}"


def _strangers(answers: Sequence[StatusAnswer]) -> Iterator[str]:
    clusters: dict[bytes, str] = {}
    for server, status in answered(answers):
        if status.cluster_id:
            clusters.setdefault(status.cluster_id, f"{status.server_id} ({server})")
    if len(clusters) > 1:
        names = " and ".join(clusters.values())
        yield f"{names} belong to different clusters: a --server is wrong, or one has formed alone"


def _steered(answers: Sequence[StatusAnswer]) -> Iterator[str]:
    """What an operator did and may have forgotten."""
    for server, status in answered(answers):
        if status.paused:
            yield f"{status.server_id} is paused: op-conductor resume --server {server}"
        if status.leader_overridden:
            yield (
                f"{status.server_id} says that it leads whatever the cluster says: "
                f"op-conductor override-leader off --server {server}"
            )


def _remarks(view: GetStatusResponse, answers: Sequence[StatusAnswer]) -> Iterator[str]:
    """What else the servers say of themselves."""
    own_fit = {status.server_id for _, status in answered(answers) if status.serving}
    quoted = {
        status.member.server_id
        for status in view.members
        if status.member.voter and status.reachable and not status.serving
    } - own_fit
    for _, status in answered(answers):
        if status.server_id not in quoted:
            for reason in status.reasons:
                yield f"{status.server_id} says: {reason}"
        if not status.quorum_safe and status.cluster_id:
            yield (
                f"{status.server_id} says: the quorum of {status.quorum} is not split-brain-safe"
            )
    versions = {status.server_id: status.version for _, status in answered(answers)}
    if len(set(versions.values())) > 1:
        shown = ", ".join(f"{name} {versions[name]}" for name in sorted(versions))
        yield f"the versions differ, so an upgrade is not finished: {shown}"
