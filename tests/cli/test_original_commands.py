"""What users of the original program type keeps working, and means what its README says."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from conductor.config import Address, Config, PeerAddress
from conductor.core.quorum import MAJORITY
from tests.cli.conftest import OpConductor


def only(configs: list[Config]) -> Config:
    (config,) = configs
    return config


def test_default_settings(op_conductor: OpConductor, started: list[Config]) -> None:
    result = op_conductor("--identity 1")

    assert result.exit_code == 0, result.stderr
    assert only(started) == Config(
        bind=Address("127.0.0.1", 8080),
        grpc_bind=Address("127.0.0.1", 18080),
        advertise=Address("127.0.0.1", 8080),
        grpc_advertise=Address("127.0.0.1", 18080),
        server_id="127.0.0.1:8080",
        identity_seed=1,
        data_dir=Path("op-conductor-data/127.0.0.1_8080"),
    )


def test_start_with_peers(op_conductor: OpConductor, started: list[Config]) -> None:
    result = op_conductor(
        """\
        --identity 1 \
        --peers http://peer1:8080,http://peer2:8080 \
        --bind-addr 0.0.0.0:8080
        """
    )

    assert result.exit_code == 0, result.stderr
    assert_readme_cluster(only(started))
    assert only(started).quorum_rule == MAJORITY


@pytest.mark.parametrize("how", ["flag", "environment"])
def test_start_with_config_file(
    op_conductor: OpConductor, started: list[Config], tmp_path: Path, how: str
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        """\
bind_addr = "0.0.0.0:8080"
identity = 1
peers = ["http://peer1:8080", "http://peer2:8080"]
health_interval_ms = 1000
quorum_threshold = 2
"""
    )

    if how == "flag":
        result = op_conductor("--config", str(file))
    else:
        result = op_conductor("run", env={"OP_CONDUCTOR_CONFIG": str(file)})

    assert result.exit_code == 0, result.stderr
    assert_readme_cluster(only(started))
    assert only(started).timing.health_interval_ms == 1000
    assert only(started).quorum_rule == 2


def assert_readme_cluster(config: Config) -> None:
    host = socket.gethostname().lower()
    assert config.identity_seed == 1
    assert config.bind == Address("0.0.0.0", 8080)
    assert config.grpc_bind == Address("0.0.0.0", 18080)
    assert config.advertise == Address(host, 8080)
    assert config.grpc_advertise == Address(host, 18080)
    assert config.server_id == f"{host}:8080"
    assert config.peers == (
        PeerAddress(Address("peer1", 18080)),
        PeerAddress(Address("peer2", 18080)),
    )


def test_two_nodes_in_two_terminals(op_conductor: OpConductor, started: list[Config]) -> None:
    op_conductor(
        """\
        --identity 1 \
        --bind-addr 127.0.0.1:8081 \
        --peers http://127.0.0.1:8082
        """
    )
    op_conductor(
        """\
        --identity 2 \
        --bind-addr 127.0.0.1:8082 \
        --peers http://127.0.0.1:8081
        """
    )

    first, second = started
    assert first.voter_addresses == second.voter_addresses == ("127.0.0.1:18081", "127.0.0.1:18082")
    assert (first.server_id, second.server_id) == ("127.0.0.1:8081", "127.0.0.1:8082")
    assert (first.identity_seed, second.identity_seed) == (1, 2)
    assert first.data_dir != second.data_dir


def test_every_original_environment_variable(
    op_conductor: OpConductor, started: list[Config]
) -> None:
    op_conductor(
        "run",
        env={
            "OP_CONDUCTOR_BIND_ADDR": "127.0.0.1:9000",
            "OP_CONDUCTOR_IDENTITY": "7",
            "OP_CONDUCTOR_PEERS": "http://a:1,http://b:2",
            "OP_CONDUCTOR_HEALTH_INTERVAL_MS": "250",
            "OP_CONDUCTOR_QUORUM_THRESHOLD": "3",
        },
    )

    config = only(started)
    assert config.bind == Address("127.0.0.1", 9000)
    assert config.identity_seed == 7
    assert [str(peer.grpc) for peer in config.peers] == ["a:10001", "b:10002"]
    assert config.timing.health_interval_ms == 250
    assert config.quorum_rule == 3
