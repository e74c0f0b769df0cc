"""Reads the addresses that people write.

Invariant: one place has one spelling. Hosts come out in lower case and IPv6 addresses in their
short form, because nodes compare their lists of voters as text.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from conductor.config import GRPC_PORT_OFFSET, Address, PeerAddress
from conductor.core.values import ID_BYTES_MAX
from conductor.errors import ConfigError

PORT_MAX = 65_535
WILDCARD_HOSTS = frozenset({"0.0.0.0", "::"})

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
_NUMERIC_HOST = re.compile(r"[0-9.]+")
_PEER_FORMS = "write http://host:8080 (its gateway) or id=host:18080 (its gRPC port)"


def parse_address(text: str) -> Address:
    """The `host:port` or `[IPv6]:port` that `text` spells; an empty host is every interface.

    ConfigError says what is wrong, without the option's name: the caller knows that.
    """
    if "://" in text:
        raise ConfigError(f"{text!r} is a URL: write only host:port")
    host, colon, port = text.rpartition(":")
    if not colon or (host.startswith("[") and not host.endswith("]")):
        raise ConfigError(f"{text!r} names no port: write host:port, such as 127.0.0.1:8080")
    return Address(_parse_host(host, text), _parse_port(port, text))


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
    _check_reachable(grpc, text)
    return PeerAddress(grpc, parse_server_id(server_id))


def parse_peers(text: str) -> tuple[PeerAddress, ...]:
    """The voters of a comma-separated list; empty items, as after a last comma, are nothing."""
    return tuple(parse_peer(item) for item in _items(text))


def parse_addresses(text: str) -> tuple[Address, ...]:
    """The addresses of a comma-separated list."""
    return tuple(parse_address(item) for item in _items(text))


def parse_server_id(text: str) -> str:
    """`text` if it can name a server in every list, log and message; else ConfigError."""
    return _check_name(text, "server id")


def parse_cluster_name(text: str) -> str:
    """`text` if it can name a cluster in every log and message; else ConfigError."""
    return _check_name(text, "cluster name")


def _items(text: str) -> list[str]:
    return [item for part in text.split(",") if (item := part.strip())]


def _check_name(text: str, what: str) -> str:
    size = len(text.encode(errors="replace"))
    if not 1 <= size <= ID_BYTES_MAX:
        raise ConfigError(f"a {what} has 1 to {ID_BYTES_MAX} bytes, this one {size}")
    if not text.isprintable() or any(character.isspace() or character == "," for character in text):
        raise ConfigError(f"{text!r} is no {what}: leave out spaces, commas and control characters")
    return text


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
    _check_reachable(address, text)
    return address


def _grpc_address(gateway: Address, text: str) -> Address:
    port = default_grpc_port(gateway)
    if port is None:
        raise ConfigError(
            f"{text!r}: its gRPC port would be {gateway.port + GRPC_PORT_OFFSET}, which is above "
            f"{PORT_MAX}: name the port that it really has, as id=host:grpc-port"
        )
    return Address(gateway.host, port)


def _check_reachable(address: Address, text: str) -> None:
    if address.host in WILDCARD_HOSTS or address.port == 0:
        raise ConfigError(f"{text!r} can be listened on but not reached: name a host and its port")


def _parse_host(host: str, text: str) -> str:
    if not host:
        return "0.0.0.0"
    try:
        if host.startswith("[") and host.endswith("]"):
            return str(ipaddress.IPv6Address(host[1:-1]))
        if ":" in host:
            raise ConfigError(f"{text!r}: an IPv6 address goes in brackets, such as [::1]:8080")
        if _NUMERIC_HOST.fullmatch(host):
            return str(ipaddress.IPv4Address(host))
    except ValueError as error:
        raise ConfigError(f"{text!r}: {error}") from error
    if not _HOST.fullmatch(host):
        raise ConfigError(f"{text!r}: {host!r} is no host name")
    return host.lower()


def _parse_port(port: str, text: str) -> int:
    if not (port.isascii() and port.isdigit()):
        raise ConfigError(f"{text!r}: {port!r} is no port: a number from 0 to {PORT_MAX}")
    # Compared by length first: a number of a million digits takes minutes to read.
    if len(port) > 5 or int(port) > PORT_MAX:
        raise ConfigError(f"{text!r}: port {port} is above {PORT_MAX}")
    return int(port)
