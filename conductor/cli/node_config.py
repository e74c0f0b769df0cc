"""Makes the one frozen Config from the options of a node, and fills in what follows from others.

Invariant: what only two options together can get wrong is refused here, before anything is opened
or bound, and names the option to change.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from conductor.cli.addresses import WILDCARD_HOSTS, default_grpc_port
from conductor.config import (
    GRPC_PORT_OFFSET,
    Address,
    CommitRule,
    Config,
    EpochManagerName,
    LeaderOrder,
    Limits,
    LogFormat,
    PeerAddress,
    Timing,
)
from conductor.core.quorum import MAJORITY, quorum_size
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
    server_id = settings.server_id or str(advertise)
    config = Config(
        bind=bind,
        grpc_bind=grpc_bind,
        advertise=advertise,
        grpc_advertise=grpc_advertise,
        server_id=server_id,
        cluster_name=settings.cluster_name,
        identity_seed=settings.identity,
        identity_key_file=settings.identity_key,
        peers=other_voters(
            [peer for part in settings.peers for peer in part],
            PeerAddress(grpc_advertise, server_id),
        ),
        quorum_rule=settings.quorum_threshold or MAJORITY,
        form_with_quorum=settings.form_with_quorum,
        new_incarnation=settings.new_incarnation,
        epoch_manager=settings.epoch_manager,
        leader=settings.leader,
        leader_order=settings.leader_order,
        commit_rule=settings.commit_rule,
        data_dir=settings.data_dir or DATA_ROOT / directory_name(server_id),
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
    _check_quorum(config)
    return config


def other_voters(named: list[PeerAddress], this: PeerAddress) -> tuple[PeerAddress, ...]:
    """The voters in `named` besides this server, each once; ConfigError when they contradict."""
    by_address = {this.grpc: this}
    by_id = {this.server_id: this}
    for peer in named:
        known = by_address.get(peer.grpc, peer)
        if peer.server_id is None:
            by_address.setdefault(peer.grpc, peer)
        elif known.server_id not in (None, peer.server_id):
            raise ConfigError(
                f"--peers: {peer.grpc} cannot be both {known.server_id} and {peer.server_id}"
                f"{_own_hint(known, this)}"
            )
        elif (namesake := by_id.setdefault(peer.server_id, peer)).grpc != peer.grpc:
            raise ConfigError(
                f"--peers: {peer.server_id} cannot be at both {namesake.grpc} and {peer.grpc}"
                f"{_own_hint(namesake, this)}"
            )
        else:
            by_address[peer.grpc] = peer
    return tuple(peer for peer in by_address.values() if peer.grpc != this.grpc)


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


def _own_hint(peer: PeerAddress, this: PeerAddress) -> str:
    if peer != this:
        return ""
    return (
        f"; {this.server_id} at {this.grpc} is this server: "
        "--server-id, --advertise-addr and --grpc-addr say so"
    )


def _check_quorum(config: Config) -> None:
    try:
        quorum_size(config.quorum_rule, len(config.voter_addresses))
    except ConfigError as error:
        raise ConfigError(f"--quorum-threshold: {error}") from error
