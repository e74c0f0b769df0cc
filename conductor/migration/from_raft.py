"""A Raft state of Go op-conductors as the beginning of a conductor's store.

Invariant: a state is read once, before a store is made of it, and the store is made of all of it or
not at all. What it says is kept in the store: no later start reads it again, and none needs it.

In a state that `op-conductor-init generate --leader-mode enforced` has made, the members other than
the leader hold a first configuration in which it alone votes, and only it knows the second one, in
which all do (`docs/raft-state.md`). All nodes read both as what they will be: all members vote, and
the one that votes from the beginning leads first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conductor.config import Config, check_reachable, parse_address, parse_server_id
from conductor.core.founding import FIRST_PROMISE_MAX, Founding, FoundingVoter
from conductor.core.pinning import listed
from conductor.core.values import Epoch, Head, ServerId
from conductor.errors import ConfigError, InvalidArgument, NotFound, StoreError
from conductor.migration.raft_node import LOOK, RaftState, state_of
from conductor.migration.settling import settled
from raft_state.node import is_node_directory, node_directories, open_node, server_id_of
from raft_state.raft import Server, configuration_problems, shown


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a store is made from."""

    founding: Founding
    payload: bytes = field(default=b"", repr=False)
    """The payload that the founding names, as SSZ; empty when it names none."""
    remarks: tuple[str, ...] = ()
    """What an operator should know of the Raft state, in sentences."""

    @property
    def head(self) -> Head | None:
        """The newest block that this server brings along."""
        end = self.founding.raft_end
        return end.head if end is not None else None


def read_beginning(
    config: Config, raft_state_dir: Path, *, option: str = "--raft-state-dir"
) -> Beginning:
    """What the store of that node is to be made from. For a store that is yet to be made.

    `option`: what named the directory.

    ConfigError: the directory is not there, or not of this server, or does not fit the other
    options. StoreError: what it holds cannot be begun with, is damaged or in use.
    """
    directory = _node_directory(raft_state_dir, config.server_id, f"{option} {raft_state_dir}")
    with open_node(directory) as node:
        state = state_of(node, config.server_id)
    founding = _within(directory, state)
    settled(config, founding)  # Before there is a store that would need it to fit.
    return Beginning(founding, state.payload, state.remarks)


def founding_of(state: RaftState) -> Founding:
    """The cluster that a state begins; ConfigError or StoreError when it cannot begin one."""
    voters, first = _voters(state)
    if state.server_id not in {server.server_id for server in voters}:
        raise ConfigError(
            f"its members {_names(voters)} do not include '{state.server_id}', which is what this "
            "server is called: see --server-id, and the name of the folder"
        )
    if state.term > FIRST_PROMISE_MAX:
        raise StoreError(
            f"term {state.term} is too high to begin after, it may be {FIRST_PROMISE_MAX} at most: "
            "other servers would take no notice of an epoch so far ahead of their own"
        )
    named = _find(voters, state.voted_for) or first
    try:
        return Founding(
            voters=tuple(sorted(map(_founding_voter, voters), key=lambda one: one.server_id)),
            first_promise=Epoch(state.term),
            initial_leader=ServerId(named.server_id) if named is not None else None,
            raft_end=state.end,
        )
    except InvalidArgument as error:
        raise StoreError(f"no cluster can begin with it: {error}") from error


# The directory


def _node_directory(directory: Path, server_id: str, option: str) -> Path:
    """The node's own: `directory` itself, if it is called so, or the one in it that is."""
    child = directory / server_id
    try:
        is_node = is_node_directory(directory)
        if not is_node and is_node_directory(child):
            return child
        names = [server_id_of(node) for node in node_directories(directory)]
    except (NotFound, StoreError) as error:
        raise ConfigError(f"{option}: {error}") from error
    if not is_node:
        raise ConfigError(
            f"{option} has no node's folder '{server_id}', but {listed(names)}: name one of them, "
            "there or as --server-id"
        )
    # A link to the node's folder is called as one likes; that it leads there is enough.
    if server_id not in (*names, directory.resolve().name):
        raise ConfigError(
            f"{option} is the folder of '{names[0]}', but this server is '{server_id}': a node's "
            "folder is called like the node, so rename it, or leave --server-id out"
        )
    return directory


# What it says


def _within(directory: Path, state: RaftState) -> Founding:
    """`founding_of`, with the directory in front of what is wrong with it."""
    try:
        return founding_of(state)
    except (ConfigError, StoreError) as error:
        raise type(error)(f"{directory}: {error}") from error


def _voters(state: RaftState) -> tuple[Sequence[Server], Server | None]:
    """All who vote in the cluster that begins, and who does so before all others, if one does."""
    if not state.configurations:
        raise StoreError(f"it does not say who the members are; {LOOK}")
    first, latest = state.configurations[0], state.configurations[-1]
    problems = configuration_problems(latest)
    if problems:
        raise StoreError(f"{'; '.join(problems)}; {LOOK}")
    early = [server for server in first.servers if server.is_voter]
    alone = early[0] if len(early) == 1 and len(latest.servers) > 1 else None
    is_first_alone = first is latest and alone is not None and alone.server_id != state.server_id
    nonvoters = [server for server in latest.servers if not server.is_voter]
    if nonvoters and not is_first_alone:
        raise StoreError(
            f"{_names(nonvoters)} are not voters, and a cluster begins with voters only: "
            "make the state without them"
        )
    return latest.servers, alone


def _find(servers: Sequence[Server], name: str) -> Server | None:
    """The server of that id or address."""
    found = (server for server in servers if name in (server.server_id, server.address))
    return next(found, None)


def _founding_voter(server: Server) -> FoundingVoter:
    try:
        parse_server_id(server.server_id)
        address = parse_address(server.address)
        check_reachable(address, server.address)
    except ConfigError as error:
        raise StoreError(f"the member {shown(server.server_id)}: {error}") from error
    return FoundingVoter(ServerId(server.server_id), str(address))


def _names(servers: Sequence[Server]) -> str:
    return listed([shown(server.server_id) for server in servers])
