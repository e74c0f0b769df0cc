"""What a node runs with: one frozen value, checked once, handed down whole.

The options are documented in `docs/options.md`; where they come from (flags, environment, file) is
the command line's business. Invariant of the addresses here: one place has one spelling, with hosts
in lower case and IPv6 addresses in their short form, because nodes compare their lists of voters as
text.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from conductor.core.quorum import MAJORITY, is_split_brain_safe, quorum_size
from conductor.core.values import ID_BYTES_MAX
from conductor.errors import ConfigError

GRPC_PORT_OFFSET = 10_000
"""The gRPC port is the gateway's port plus this, unless told otherwise."""

PORT_MAX = 65_535
WILDCARD_HOSTS = frozenset({"0.0.0.0", "::"})

EpochManagerName = Literal["static", "health"]
LeaderOrder = Literal["ordered", "sticky"]
CommitRule = Literal["strict", "reorg", "any"]
LogFormat = Literal["text", "json"]

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
_NUMERIC_HOST = re.compile(r"[0-9.]+")


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a TCP port. IPv6 hosts are held without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it; the one host name known to be so is localhost."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """A voter as the configuration names it."""

    grpc: Address
    server_id: str | None = None
    """Set by the form `id=host:port`: the greeting must then carry this id."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Every duration of the protocol, in milliseconds, from the one that operators choose."""

    health_interval_ms: int = 1000
    commit_timeout_ms: int = 800
    campaign_timeout_ms: int = 2000
    probe_deadline_ms: int = 500
    hand_over_timeout_ms: int = 5000
    preempt_hold_down_ms: int = 60_000
    campaign_stagger_ms: int = 150

    @property
    def heartbeat_ms(self) -> int:
        """How often a leader with nothing to say still speaks."""
        return max(1, self.health_interval_ms // 10)

    @property
    def lease_ms(self) -> int:
        """How long a leader trusts the last word of a quorum."""
        return self.health_interval_ms

    @property
    def leader_timeout_ms(self) -> int:
        """How long a voter refuses others after the leader's last word: a lease and a margin."""
        return self.health_interval_ms * 3 // 2


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds on what is kept and taken."""

    retain_payloads: int = 1024
    retain_bytes: int = 512 * 2**20
    payload_bytes_max: int = 16 * 2**20
    json_body_bytes_max: int = 34 * 2**20
    grpc_message_bytes_max: int = 17 * 2**20
    batch_bytes_max: int = 8 * 2**20
    """Bodies in one message, unless a single entry is larger."""
    pending_payloads_max: int = 64
    """Payloads that wait for a certificate at a leader."""


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration of one node."""

    bind: Address = Address("127.0.0.1", 8080)
    grpc_bind: Address = Address("127.0.0.1", 18080)
    advertise: Address = Address("127.0.0.1", 8080)
    grpc_advertise: Address = Address("127.0.0.1", 18080)
    grpc_bind_is_default: bool = True
    """Nobody has chosen the gRPC port: a Raft state may say which it is."""
    server_id: str = "127.0.0.1:8080"
    cluster_name: str = "op-conductor"
    identity_seed: int | None = None
    identity_key_file: Path | None = None
    peers: tuple[PeerAddress, ...] = ()
    quorum_rule: int = MAJORITY
    form_with_quorum: bool = False
    new_incarnation: bool = False
    epoch_manager: EpochManagerName = "health"
    leader: str | None = None
    """The server that the static manager names; None: this one if it is alone."""
    leader_order: LeaderOrder = "ordered"
    commit_rule: CommitRule = "reorg"
    data_dir: Path = Path("op-conductor-data/127.0.0.1_8080")
    raft_state_dir: Path | None = None
    """What to make the store from, if it has to be made: `conductor.migration` settles `peers` and
    the gRPC addresses then; until that, `peers` is what was given, this server perhaps included."""
    paused: bool = False
    log_level: str = "info"
    log_format: LogFormat = "text"
    timing: Timing = dataclasses.field(default_factory=Timing)
    limits: Limits = dataclasses.field(default_factory=Limits)
    notes: tuple[str, ...] = ()
    """What else to say at start, for those who run the node: nothing here changes what it does."""

    def __post_init__(self) -> None:
        """Raise ConfigError for what cannot work, naming the option."""
        if self.identity_seed is not None and self.identity_key_file is not None:
            raise ConfigError("--identity and --identity-key exclude each other: give one")
        if self.timing.health_interval_ms < 10:
            raise ConfigError("--health-interval-ms must be at least 10")
        if self.timing.commit_timeout_ms < 1:
            raise ConfigError("--commit-timeout-ms must be at least 1")
        if self.epoch_manager == "static" and self.leader is None and self.peers:
            raise ConfigError("--epoch-manager static needs --leader: the id of the server to lead")
        if not self.server_id:
            raise ConfigError("--server-id must not be empty")
        if self.limits.retain_payloads < 1:
            raise ConfigError("--retain-payloads must be at least 1")

    @property
    def voter_addresses(self) -> tuple[str, ...]:
        """The gRPC addresses of all configured voters, this one included, sorted."""
        addresses = {str(peer.grpc) for peer in self.peers}
        addresses.add(str(self.grpc_advertise))
        return tuple(sorted(addresses))


def config_warnings(config: Config, voters_count: int) -> tuple[str, ...]:
    """What works and is unwise, in sentences for the log at start and for `/health`.

    `voters_count` is that of the membership in force, or of the configuration while there is none.
    """
    warnings = list(config.notes)
    if config.identity_seed is not None:
        warnings.append(
            f"--identity {config.identity_seed} makes a key that anyone can make: for development "
            "only, elsewhere use --identity-key or let the node make its own"
        )
    warnings.extend(
        f"{option} {address} can be reached from other machines, without TLS: "
        "let a firewall admit nobody but the members and their op-nodes"
        for option, address in (("--bind-addr", config.bind), ("--grpc-addr", config.grpc_bind))
        if not address.is_loopback
    )
    if config.quorum_rule != MAJORITY and not is_split_brain_safe(config.quorum_rule, voters_count):
        warnings.append(
            f"a quorum of {config.quorum_rule} of {voters_count} voters is not split-brain-safe: "
            "both sides of a partition may lead and certify; without --quorum-threshold it is "
            f"{quorum_size(MAJORITY, voters_count)}"
        )
    if config.leader is not None and config.epoch_manager != "static":
        warnings.append(f"--leader {config.leader} is for --epoch-manager static and is ignored")
    warnings.extend(
        f"--peers names {peer.grpc}, which looks like this server itself under another name than "
        f"{config.grpc_advertise}: they count as two voters, so use one name on every server"
        for peer in config.peers
        if peer.grpc.is_loopback and config.grpc_advertise.is_loopback
        if peer.grpc.port == config.grpc_advertise.port
    )
    return tuple(warnings)


def check_quorum(config: Config) -> None:
    """Raise ConfigError when no quorum of the voters can be what was asked for."""
    try:
        quorum_size(config.quorum_rule, len(config.voter_addresses))
    except ConfigError as error:
        raise ConfigError(f"--quorum-threshold: {error}") from error


def other_voters(named: Sequence[PeerAddress], this: PeerAddress) -> tuple[PeerAddress, ...]:
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


def _own_hint(peer: PeerAddress, this: PeerAddress) -> str:
    if peer != this:
        return ""
    return (
        f"; {this.server_id} at {this.grpc} is this server: "
        "--server-id, --advertise-addr and --grpc-addr say so"
    )


# What people write


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


def parse_server_id(text: str) -> str:
    """`text` if it can name a server in every list, log and message; else ConfigError."""
    return check_name(text, "server id")


def check_name(text: str, what: str) -> str:
    """`text` if it is fit to be a name; else ConfigError, which calls it a `what`."""
    size = len(text.encode(errors="replace"))
    if not 1 <= size <= ID_BYTES_MAX:
        raise ConfigError(f"a {what} has 1 to {ID_BYTES_MAX} bytes, this one {size}")
    if not text.isprintable() or any(character.isspace() or character == "," for character in text):
        raise ConfigError(f"{text!r} is no {what}: leave out spaces, commas and control characters")
    return text


def check_reachable(address: Address, text: str) -> None:
    """Raise ConfigError unless others can connect to the address that `text` spells."""
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
