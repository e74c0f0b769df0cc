"""The configuration of a node whose store was made from a Raft state.

Invariant: who the voters are, and at which gRPC addresses, is said by what the store was made from;
options may repeat it and never change it.
"""

from __future__ import annotations

import dataclasses

from conductor.config import (
    Address,
    Config,
    PeerAddress,
    check_quorum,
    other_voters,
    parse_address,
)
from conductor.core.founding import Founding
from conductor.core.pinning import listed, same_host_hint
from conductor.core.values import ServerId
from conductor.errors import ConfigError


def settled(config: Config, founding: Founding | None) -> Config:
    """The configuration of a node whose store was made from that, or from no Raft state.

    Who the voters are, and at which gRPC addresses, is said there; ConfigError when `--peers` says
    otherwise, or what is left does not fit them.
    """
    if founding is None:
        this = PeerAddress(config.grpc_advertise, config.server_id)
        config = dataclasses.replace(config, peers=other_voters(config.peers, this))
    else:
        config = _with_voters(config, founding)
    check_quorum(config)
    return config


def _with_voters(config: Config, founding: Founding) -> Config:
    addresses = {voter.server_id: voter.grpc_address for voter in founding.voters}
    own = addresses.get(ServerId(config.server_id))
    if own is None:
        raise ConfigError(
            f"the store was made for one of {listed(list(addresses))}, not for "
            f"'{config.server_id}': see --server-id"
        )
    _check_agreement(config, addresses)
    advertise = parse_address(own)
    bind = config.grpc_bind
    if config.grpc_bind_is_default:
        bind = Address(bind.host, advertise.port)
    peers = tuple(
        PeerAddress(parse_address(address), server_id)
        for server_id, address in addresses.items()
        if server_id != config.server_id
    )
    return dataclasses.replace(config, grpc_bind=bind, grpc_advertise=advertise, peers=peers)


def _check_agreement(config: Config, addresses: dict[ServerId, str]) -> None:
    """`--peers` is not needed; given, it has to name the same."""
    own = addresses[ServerId(config.server_id)]
    named = sorted({str(peer.grpc) for peer in config.peers} | {own})
    wanted = sorted(addresses.values())
    strangers = [
        peer
        for peer in config.peers
        if peer.server_id and addresses.get(ServerId(peer.server_id)) != str(peer.grpc)
    ]
    if config.peers and (named != wanted or strangers):
        voters = listed([f"{server_id}={address}" for server_id, address in addresses.items()])
        given = listed([_text(peer) for peer in config.peers])
        raise ConfigError(
            f"--peers names {given}, but the Raft state that this server begins with has the "
            f"voters {voters}{same_host_hint(named, wanted)}: leave --peers out, or let it agree"
        )


def _text(peer: PeerAddress) -> str:
    return f"{peer.server_id}={peer.grpc}" if peer.server_id else str(peer.grpc)
