"""Clusters to generate: what is asked for, and how Raft should see it."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from conductor.devnet.processes import free_ports
from raft_state.generate import ClusterRequest, LeaderMode
from raft_state.node import LOG_FILE, STABLE_FILE
from raft_state.raft import Configuration, Server, Suffrage
from tests.interop.views import servers_view


def request_for(
    members: int,
    *,
    nonvoters: int = 0,
    term: int = 1,
    mode: LeaderMode = LeaderMode.VOTE,
) -> ClusterRequest:
    """A cluster on free ports of this machine, whose leader is neither first nor a nonvoter."""
    ids = [f"sequencer-{number}" for number in range(1, members + 1)]
    return ClusterRequest(
        addresses=[f"127.0.0.1:{port}" for port in free_ports(members)],
        server_ids=ids,
        initial_leader=ids[(members - nonvoters) // 2],
        initial_term=term,
        nonvoters=ids[members - nonvoters :],
        leader_mode=mode,
    )


def asked_for(request: ClusterRequest, *voters: str) -> list[dict[str, Any]]:
    """The configuration of a request, as Raft should report it; `voters`: but only these vote."""
    voting = voters or tuple(set(request.server_ids) - set(request.nonvoters))
    servers = (
        Server(server_id, address, Suffrage.VOTER if server_id in voting else Suffrage.NONVOTER)
        for server_id, address in zip(request.server_ids, request.addresses, strict=True)
    )
    return servers_view(Configuration(tuple(servers)))


def database_files(request: ClusterRequest, directory: Path) -> list[Path]:
    names = itertools.product(request.server_ids, (LOG_FILE, STABLE_FILE))
    return [directory / server_id / name for server_id, name in names]
