"""Makes the one frozen Config from the options of a node, and fills in what follows from others.

Invariant: what only two options together can get wrong is refused here, before anything is opened
or bound, and names the option to change.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from conductor.cli.addresses import default_grpc_port
from conductor.config import (
    GRPC_PORT_OFFSET,
    WILDCARD_HOSTS,
    Address,
    CommitRule,
    Config,
    EpochManagerName,
    LeaderOrder,
    Limits,
    LogFormat,
    PeerAddress,
    Timing,
    check_quorum,
    other_voters,
    parse_server_id,
)
from conductor.core.quorum import MAJORITY
from conductor.errors import ConfigError

DATA_ROOT = Path("op-conductor-data")
DIRECTORY_NAME_MAX = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """The options of a node as given; None where the default follows from others."""

    bind_addr: Address
    grpc_addr: Address | None
    advertise_addr: Address | None
    server_id: str | None
    identity: int | None
    identity_key: Path | None
    data_dir: Path | None
    raft_state_dir: Path | None
    paused: bool
    peers: tuple[tuple[PeerAddress, ...], ...]
    """One part for each time that the option was given."""
    cluster_name: str
    quorum_threshold: int | None
    form_with_quorum: bool
    new_incarnation: bool
    epoch_manager: EpochManagerName
    leader: str | None
    leader_order: LeaderOrder
    health_interval_ms: int
    commit_rule: CommitRule
    commit_timeout_ms: int
    retain_payloads: int
    retain_bytes: int
    log_level: str
    log_format: LogFormat


def node_config(settings: NodeSettings, *, host_name: str, notes: tuple[str, ...] = ()) -> Config:
    """The whole configuration of a node; ConfigError when the settings do not fit together.

    `host_name`: what this machine is called, for a server that listens on every interface.
    `notes`: what the node shall say at start, besides the warnings about the configuration itself.
    """
    bind = settings.bind_addr
    grpc_bind = settings.grpc_addr or _default_grpc_bind(bind)
    advertise, grpc_advertise = _advertised(settings, grpc_bind, host_name.lower())
    server_id = _server_id(settings, advertise)
    named = tuple(peer for part in settings.peers for peer in part)
    is_settled = settings.raft_state_dir is None
    this = PeerAddress(grpc_advertise, server_id)
    config = Config(
        bind=bind,
        grpc_bind=grpc_bind,
        advertise=advertise,
        grpc_advertise=grpc_advertise,
        grpc_bind_is_default=settings.grpc_addr is None,
        server_id=server_id,
        cluster_name=settings.cluster_name,
        identity_seed=settings.identity,
        identity_key_file=settings.identity_key,
        peers=other_voters(named, this) if is_settled else named,
        quorum_rule=settings.quorum_threshold or MAJORITY,
        form_with_quorum=settings.form_with_quorum,
        new_incarnation=settings.new_incarnation,
        epoch_manager=settings.epoch_manager,
        leader=settings.leader,
        leader_order=settings.leader_order,
        commit_rule=settings.commit_rule,
        data_dir=settings.data_dir or DATA_ROOT / directory_name(server_id),
        raft_state_dir=settings.raft_state_dir,
        paused=settings.paused,
        log_level=settings.log_level,
        log_format=settings.log_format,
        timing=Timing(
            health_interval_ms=settings.health_interval_ms,
            commit_timeout_ms=settings.commit_timeout_ms,
        ),
        limits=Limits(retain_payloads=settings.retain_payloads, retain_bytes=settings.retain_bytes),
        notes=notes,
    )
    if is_settled:
        check_quorum(config)
    return config


def _server_id(settings: NodeSettings, advertise: Address) -> str:
    """As given, or as the folder of the Raft state is called; the directory need not be there."""
    if settings.server_id is not None:
        return settings.server_id
    if settings.raft_state_dir is None:
        return str(advertise)
    return named_by_folder(settings.raft_state_dir, "--raft-state-dir")


def named_by_folder(state_dir: Path, option: str) -> str:
    """The server id that a node's directory of a Raft state gives: the name of the folder."""
    try:
        return parse_server_id(state_dir.resolve().name)
    except ConfigError as error:
        raise ConfigError(
            f"{option} {state_dir}: a server is called like its folder, and {error}; --server-id "
            "names a folder in it"
        ) from error


def directory_name(server_id: str) -> str:
    """A directory for the store of that server: its id, where every file system takes it.

    Colons become underscores. When more had to change, a piece of the hash keeps two ids apart.
    """
    plain = server_id.replace(":", "_")
    name = re.sub(r"[^A-Za-z0-9._\[\]-]", "_", plain)[:DIRECTORY_NAME_MAX].lstrip(".-")
    if name == plain:
        return name
    return f"{name}-{hashlib.sha256(server_id.encode()).hexdigest()[:12]}"


def _default_grpc_bind(bind: Address) -> Address:
    port = default_grpc_port(bind)
    if port is None:
        raise ConfigError(
            f"--bind-addr {bind} leaves no room for gRPC at port {bind.port + GRPC_PORT_OFFSET}: "
            "say where with --grpc-addr host:port, and let peers name this server id=host:port"
        )
    return Address(bind.host, port)


def _advertised(
    settings: NodeSettings, grpc_bind: Address, host_name: str
) -> tuple[Address, Address]:
    """Where peers find the gateway and gRPC of this server."""
    given = settings.advertise_addr
    if given is not None:
        if given.host in WILDCARD_HOSTS or given.port == 0:
            raise ConfigError(f"--advertise-addr {given} cannot be reached: name a host and a port")
        return given, Address(given.host, grpc_bind.port)
    bind = settings.bind_addr
    return (
        Address(_reachable_host(bind, host_name), bind.port),
        Address(_reachable_host(grpc_bind, host_name), grpc_bind.port),
    )


def _reachable_host(bind: Address, host_name: str) -> str:
    return host_name if bind.host in WILDCARD_HOSTS else bind.host
