"""Every option of a node, once: its flag, type, default and meaning.

Invariant: nothing else lists them. The environment variable and the TOML key follow from the flag,
the file is checked against this table, and a test holds `docs/options.md` to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from conductor.cli.addresses import parse_cluster_name, parse_peers
from conductor.cli.options import GO_BOOLEAN, NodeOption, option_value
from conductor.cli.toml_file import read_defaults
from conductor.config import Limits, Timing, parse_address, parse_server_id

SEED_MAX = 2**64 - 1
HEALTH_INTERVAL_MS_MIN = 10
MILLISECONDS_MAX = 60 * 60 * 1000
COUNT_MAX = 2**31 - 1
BYTES_MAX = 2**62

ADDRESSES = "Addresses"
SERVER = "This server"
CLUSTER = "The cluster"
LEADERSHIP = "Who leads"
PAYLOADS = "Payloads"
SETTINGS = "Settings and logs"


def _address(flag: str, default_text: str, meaning: str, **rest: Any) -> NodeOption:
    return NodeOption(
        flag,
        ADDRESSES,
        default_text=default_text,
        type=option_value(parse_address),
        metavar="HOST:PORT",
        meaning=meaning,
        **rest,
    )


def _number(flag: str, section: str, low: int, high: int, **rest: Any) -> NodeOption:
    return NodeOption(
        flag, section, type=click.IntRange(low, high), toml_type=int, metavar="N", **rest
    )


def _choice(
    flag: str, section: str, choices: tuple[str, ...], default: str, meaning: str
) -> NodeOption:
    kind = click.Choice(choices, case_sensitive=False)
    return NodeOption(
        flag, section, type=kind, default=default, default_text=default, meaning=meaning
    )


def _switch(flag: str, section: str, meaning: str) -> NodeOption:
    return NodeOption(
        flag, section, toml_type=bool, default_text="false", meaning=meaning, **GO_BOOLEAN
    )


def _file(flag: str, section: str, default_text: str, meaning: str, **rest: Any) -> NodeOption:
    kind = click.Path(path_type=Path)
    return NodeOption(flag, section, type=kind, default_text=default_text, meaning=meaning, **rest)


_ADDRESS_OPTIONS = (
    _address(
        "--bind-addr",
        "127.0.0.1:8080",
        "Where the HTTP gateway (JSON-RPC and REST) listens.",
        default="127.0.0.1:8080",
    ),
    _address(
        "--grpc-addr",
        "same host, gateway port + 10000",
        "Where gRPC listens, for peers and operators.",
    ),
    _address(
        "--advertise-addr",
        "the bind address, with this machine's name for a wildcard",
        "The gateway as peers and users name it.",
    ),
)

_SERVER_OPTIONS = (
    NodeOption(
        "--server-id",
        SERVER,
        type=option_value(parse_server_id),
        metavar="NAME",
        default_text="the advertised host:port",
        meaning="The stable name of this server in the cluster.",
    ),
    _number(
        "--identity",
        SERVER,
        0,
        SEED_MAX,
        default_text="",
        meaning="Derive the ed25519 key from this number. For development only: anyone can do it.",
    ),
    _file(
        "--identity-key",
        SERVER,
        "<data-dir>/identity.pem, made if missing",
        "The ed25519 key, as `op-conductor keygen` writes it.",
        metavar="FILE",
    ),
    _file(
        "--data-dir",
        SERVER,
        "./op-conductor-data/<server id>",
        "Where the log and the promises are kept. Who loses it comes back as a stranger.",
        metavar="DIR",
    ),
    _file(
        "--raft-state-dir",
        SERVER,
        "",
        "Make the store from this node's directory of a Raft state, if it has to be made: the "
        "voters, the first epoch and who leads first are what that says.",
        metavar="DIR",
    ),
    _switch(
        "--paused",
        SERVER,
        "Start paused: keep the log, leave the sequencer alone, lead only if nobody else can.",
    ),
)

_CLUSTER_OPTIONS = (
    NodeOption(
        "--peers",
        CLUSTER,
        type=option_value(parse_peers),
        multiple=True,
        toml_type=list,
        metavar="PEER,...",
        default_text="none: a cluster of one",
        meaning="The voters, this server included or not: http://host:8080 (its gRPC port is that "
        "+ 10000) or id=host:grpc-port.",
    ),
    NodeOption(
        "--cluster-name",
        CLUSTER,
        type=option_value(parse_cluster_name),
        metavar="NAME",
        default="op-conductor",
        default_text="op-conductor",
        meaning="Servers that name another cluster are refused.",
    ),
    _number(
        "--quorum-threshold",
        CLUSTER,
        1,
        COUNT_MAX,
        default_text="a majority of the voters",
        meaning="How many voters certify a payload, the leader counted. Half of them or fewer are "
        "not split-brain-safe. Fixed when the cluster forms.",
    ),
    _switch(
        "--form-with-quorum",
        CLUSTER,
        "Form the cluster though voters are absent: your word that those never ran.",
    ),
    _switch(
        "--new-incarnation",
        CLUSTER,
        "Start with a new store though peers know this server: your word that the old one is gone.",
    ),
)

_LEADERSHIP_OPTIONS = (
    _choice(
        "--epoch-manager",
        LEADERSHIP,
        ("static", "health"),
        "health",
        "What names the server to lead: --leader, or health checks among the peers.",
    ),
    NodeOption(
        "--leader",
        LEADERSHIP,
        type=option_value(parse_server_id),
        metavar="NAME",
        default_text="",
        meaning="The server that the static epoch manager names. A server on its own names itself.",
    ),
    _choice(
        "--leader-order",
        LEADERSHIP,
        ("ordered", "sticky"),
        "ordered",
        "Health checks name the first serving voter by server id, or keep the leader while it "
        "serves.",
    ),
    _number(
        "--health-interval-ms",
        LEADERSHIP,
        HEALTH_INTERVAL_MS_MIN,
        MILLISECONDS_MAX,
        default=Timing().health_interval_ms,
        default_text="1000",
        meaning="How often peers are checked. Also the leader's lease, and ten heartbeats.",
    ),
)

_PAYLOAD_OPTIONS = (
    _choice(
        "--commit-rule",
        PAYLOADS,
        ("strict", "reorg", "any"),
        "reorg",
        "What may follow: a child of the last payload; after an L1 reorg also one of an earlier "
        "payload; or whatever op-node sends.",
    ),
    _number(
        "--commit-timeout-ms",
        PAYLOADS,
        1,
        MILLISECONDS_MAX,
        default=Timing().commit_timeout_ms,
        default_text="800",
        meaning="How long a commit waits for its quorum. op-node allows one second in all.",
    ),
    _number(
        "--retain-payloads",
        PAYLOADS,
        1,
        COUNT_MAX,
        default=Limits().retain_payloads,
        default_text="1024",
        meaning="How many payloads are kept on disk.",
    ),
    _number(
        "--retain-bytes",
        PAYLOADS,
        1,
        BYTES_MAX,
        default=Limits().retain_bytes,
        default_text="536870912, which is 512 MiB",
        meaning="How many bytes of payloads are kept on disk, if that makes fewer of them.",
    ),
)

_SETTINGS_OPTIONS = (
    _file(
        "--config",
        SETTINGS,
        "",
        "A TOML file with any of the other options, written like bind_addr.",
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=read_defaults,
    ),
    _choice(
        "--log-level",
        SETTINGS,
        ("debug", "info", "warning", "error"),
        "info",
        "The least important lines to log.",
    ),
    _choice(
        "--log-format",
        SETTINGS,
        ("text", "json"),
        "text",
        "How log lines look. They go to stderr.",
    ),
)

NODE_OPTIONS: tuple[NodeOption, ...] = (
    *_ADDRESS_OPTIONS,
    *_SERVER_OPTIONS,
    *_CLUSTER_OPTIONS,
    *_LEADERSHIP_OPTIONS,
    *_PAYLOAD_OPTIONS,
    *_SETTINGS_OPTIONS,
)
"""In the order of the help."""
