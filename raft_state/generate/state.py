"""What each node of a new cluster finds in its databases when it starts for the first time.

Invariant: no entry and no term is there that no leader could have left. All logs begin with the
same entry, and a node's term is that of its last entry.

`vote`: every log holds one configuration, the whole cluster. That is what Raft's own bootstrap
leaves, plus a recorded vote on the initial leader, under its id, as op-conductor-init has always
written it.

`enforced`: every log begins with a configuration in which the initial leader alone is a voter, and
only the leader's log goes on with the whole cluster. Nodes that find themselves nonvoters never
start an election, yet follow and vote for the leader, whose first heartbeat brings them the rest.
Safe, because no quorum without the leader exists before the others have its second entry.

A cluster that goes on from a block has its payload as the last entry of every log, where it is as
good as committed: whoever wins the first election has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from raft_state.generate.plan import ClusterPlan, LeaderMode
from raft_state.node import LOG_FILE, STABLE_FILE
from raft_state.raft import (
    CONF,
    LOGS,
    Configuration,
    EntryType,
    LogEntry,
    StableState,
    Suffrage,
    encode_configuration,
    encode_entry,
    index_key,
    stable_items,
)

FIRST_INDEX: Final = 1

Items = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class InitialState:
    """The state of one node that has never run."""

    server_id: str
    configurations: tuple[Configuration, ...]
    """The log: one configuration entry each, from FIRST_INDEX on."""
    stable: StableState
    term: int
    payload: bytes = field(default=b"", repr=False)
    """The data of a command entry after them; empty when there is none."""

    def databases(self) -> Mapping[str, Mapping[bytes, Items]]:
        """File name -> bucket -> items. Both files have both buckets, as Raft makes them."""
        entries = [
            LogEntry(
                index=index,
                term=self.term,
                type=EntryType.CONFIGURATION,
                data=encode_configuration(configuration),
            )
            for index, configuration in enumerate(self.configurations, FIRST_INDEX)
        ]
        if self.payload:
            index = FIRST_INDEX + len(entries)
            entries.append(LogEntry(index, self.term, EntryType.COMMAND, self.payload))
        return {
            LOG_FILE: {
                LOGS: [(index_key(entry.index), encode_entry(entry)) for entry in entries],
                CONF: [],
            },
            STABLE_FILE: {LOGS: [], CONF: stable_items(self.stable)},
        }


def initial_states(plan: ClusterPlan) -> tuple[InitialState, ...]:
    """The state of every node, in the order of the plan."""
    return tuple(_initial_state(plan, server_id) for server_id in plan.server_ids)


def _initial_state(plan: ClusterPlan, server_id: str) -> InitialState:
    leads = server_id == plan.initial_leader
    configurations: tuple[Configuration, ...] = (plan.configuration,)
    stable = StableState(current_term=plan.initial_term)
    if plan.leader_mode is LeaderMode.ENFORCED:
        alone = _only_voter(plan.configuration, plan.initial_leader)
        configurations = (alone, plan.configuration) if leads else (alone,)
    elif leads:
        stable = replace(
            stable,
            last_vote_term=plan.initial_term,
            last_vote_candidate=server_id.encode(),
        )
    return InitialState(server_id, configurations, stable, plan.initial_term, plan.payload)


def _only_voter(configuration: Configuration, server_id: str) -> Configuration:
    return Configuration(
        tuple(
            replace(
                server,
                suffrage=Suffrage.VOTER if server.server_id == server_id else Suffrage.NONVOTER,
            )
            for server in configuration.servers
        )
    )
