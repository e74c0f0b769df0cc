"""Generates the state of a whole cluster: checks, writes, and reports.

Invariant: nothing is written unless everything can be. A dry run refuses what a real run would
refuse, except for what only writing tells, such as a full disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from raft_state.bolt import write_database
from raft_state.exchange import settle
from raft_state.generate.explanation import effect_of, next_steps
from raft_state.generate.plan import ClusterPlan, ClusterRequest, LeaderMode, make_plan
from raft_state.generate.state import InitialState, initial_states
from raft_state.generate.swap import lock_held, put_into_place
from raft_state.generate.target import Target, examine_target, require_writable


@dataclass(frozen=True, slots=True)
class Member:
    """A server of the new cluster."""

    server_id: str
    address: str
    suffrage: str
    directory: Path
    """Of its databases."""


@dataclass(frozen=True, slots=True)
class GenerateReport:
    """What was written, or would be, and what to do with it."""

    output_dir: Path
    network: str
    """The label it was given; Raft knows nothing of it."""
    initial_leader: str
    initial_term: int
    leader_mode: LeaderMode
    members: tuple[Member, ...]
    replaced: tuple[str, ...]
    """The servers whose earlier state is gone."""
    written: bool
    """False after a dry run."""
    effect: str
    """What Raft makes of the initial leader."""
    warnings: tuple[str, ...]
    next_steps: tuple[str, ...]


def generate_cluster(
    request: ClusterRequest,
    output_dir: Path,
    *,
    force: bool = False,
    dry_run: bool = False,
    settled: Callable[[], None] = settle,
) -> GenerateReport:
    """Write `<output_dir>/<server id>/raft-log.db` and `raft-stable.db` for every server.

    `force` replaces what is there under their names; `settled` waits until a conductor that was
    just starting there must have asked for its databases again; `dry_run` writes nothing.
    ConfigError names all that is wrong with the request; Refused: something is in the way;
    StoreLocked: a conductor runs on a state to be replaced; StoreError: the system refuses. After
    any of them everything is as it was.
    """
    plan = make_plan(request)
    states = {state.server_id: state for state in initial_states(plan)}
    target = examine_target(output_dir, plan.server_ids, force=force)
    require_writable(target)
    remarks: list[str] = []
    if dry_run:
        with lock_held(target):
            pass
    else:
        remarks = put_into_place(
            target,
            plan.server_ids,
            lambda directory: _write_node(directory, states),
            settled=settled,
        )
    return _report(plan, target, output_dir, remarks, written=not dry_run)


def _write_node(directory: Path, states: dict[str, InitialState]) -> None:
    for name, buckets in states[directory.name].databases().items():
        write_database(directory / name, buckets)


def _report(
    plan: ClusterPlan,
    target: Target,
    output_dir: Path,
    remarks: Sequence[str],
    *,
    written: bool,
) -> GenerateReport:
    leftovers = tuple(
        f"{path} was left by a run that was killed; look whether it holds a state that is missing "
        "now, else remove it"
        for path in target.leftovers
    )
    return GenerateReport(
        output_dir=output_dir,
        network=plan.network,
        initial_leader=plan.initial_leader,
        initial_term=plan.initial_term,
        leader_mode=plan.leader_mode,
        members=tuple(
            Member(
                server.server_id,
                server.address,
                server.suffrage_name,
                output_dir / server.server_id,
            )
            for server in plan.configuration.servers
        ),
        replaced=target.held,
        written=written,
        effect=effect_of(plan),
        warnings=(*plan.warnings, *leftovers, *remarks),
        next_steps=next_steps(plan, output_dir),
    )
