"""Reads the peers and lists of addresses that people write; `config` has a single address."""

from __future__ import annotations

from urllib.parse import urlsplit

from conductor.config import (
    GRPC_PORT_OFFSET,
    PORT_MAX,
    Address,
    PeerAddress,
    check_name,
    check_reachable,
    parse_address,
    parse_server_id,
)
from conductor.errors import ConfigError

_PEER_FORMS = "write http://host:8080 (its gateway) or id=host:18080 (its gRPC port)"


def parse_peer(text: str) -> PeerAddress:
    """The voter that one item of `--peers` names; ConfigError as for `parse_address`."""
    if text.lower().startswith("https://"):
        raise ConfigError(
            f"{text!r}: https is not spoken between conductors; {_PEER_FORMS}, "
            "and protect the network between them"
        )
    if text.lower().startswith("http://"):
        return PeerAddress(_grpc_address(_parse_url(text), text))
    server_id, equals, address = text.rpartition("=")
    if not equals or not server_id:
        raise ConfigError(f"{text!r} is no peer: {_PEER_FORMS}")
    grpc = parse_address(address)
    check_reachable(grpc, text)
    return PeerAddress(grpc, parse_server_id(server_id))


def parse_peers(text: str) -> tuple[PeerAddress, ...]:
    """The voters of a comma-separated list; empty items, as after a last comma, are nothing."""
    return tuple(parse_peer(item) for item in _items(text))


def parse_addresses(text: str) -> tuple[Address, ...]:
    """The addresses of a comma-separated list."""
    return tuple(parse_address(item) for item in _items(text))


def parse_cluster_name(text: str) -> str:
    """`text` if it can name a cluster in every log and message; else ConfigError."""
    return check_name(text, "cluster name")


def _items(text: str) -> list[str]:
    return [item for part in text.split(",") if (item := part.strip())]


def default_grpc_port(gateway: Address) -> int | None:
    """The gRPC port that goes with a gateway; 0 stays 0; None when it would be above 65535."""
    if gateway.port == 0:
        return 0
    port = gateway.port + GRPC_PORT_OFFSET
    return port if port <= PORT_MAX else None


def _parse_url(text: str) -> Address:
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no URL: {error}") from error
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigError(f"{text!r} says more than a peer needs: write http://host:8080")
    address = parse_address(parts.netloc)
    check_reachable(address, text)
    return address


def _grpc_address(gateway: Address, text: str) -> Address:
    port = default_grpc_port(gateway)
    if port is None:
        raise ConfigError(
            f"{text!r}: its gRPC port would be {gateway.port + GRPC_PORT_OFFSET}, which is above "
            f"{PORT_MAX}: name the port that it really has, as id=host:grpc-port"
        )
    return Address(gateway.host, port)
