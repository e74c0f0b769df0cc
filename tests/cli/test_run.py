"""How a node gets its options: precedence, spelling, and what is refused or remarked on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from conductor.cli.node_options import NODE_OPTIONS
from conductor.config import Config
from tests.cli.conftest import OpConductor


def test_bare_program_runs_a_node(op_conductor: OpConductor, started: list[Config]) -> None:
    assert op_conductor().exit_code == 0
    assert op_conductor("run").exit_code == 0
    assert started == [Config(), Config()]


def test_exit_code_of_the_node_is_that_of_the_program(
    op_conductor: OpConductor, started: list[Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["conductor.app"], "run_node", lambda config: 7)

    assert op_conductor("run").exit_code == 7


@pytest.mark.parametrize(
    ("file", "env", "flags", "expected"),
    [
        ("", {}, "", 1000),
        ("health_interval_ms = 200", {}, "", 200),
        ("health_interval_ms = 200", {"OP_CONDUCTOR_HEALTH_INTERVAL_MS": "300"}, "", 300),
        ("health_interval_ms = 200", {}, " --health-interval-ms 400", 400),
        (
            "health_interval_ms = 200",
            {"OP_CONDUCTOR_HEALTH_INTERVAL_MS": "300"},
            " --health-interval-ms 400",
            400,
        ),
    ],
)
def test_flag_beats_environment_beats_file_beats_default(
    op_conductor: OpConductor,
    started: list[Config],
    tmp_path: Path,
    file: str,
    env: dict[str, str],
    flags: str,
    expected: int,
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(file)

    result = op_conductor(f"--config {path}{flags}", env=env)

    assert result.exit_code == 0, result.stderr
    assert started[0].timing.health_interval_ms == expected


@pytest.mark.parametrize(
    ("file", "env", "flags", "expected"),
    [
        ("", {}, "", False),
        ("", {}, "--paused", True),
        ("", {}, "--paused=false", False),
        ("", {}, "--paused false --identity 1", False),
        ("", {}, "--paused --identity 1", True),
        ("", {"OP_CONDUCTOR_PAUSED": "true"}, "", True),
        ("", {"OP_CONDUCTOR_PAUSED": "1"}, "--paused=false", False),
        ("", {"OP_CONDUCTOR_PAUSED": "false"}, "", False),
        ("paused = true", {}, "", True),
        ("paused = true", {"OP_CONDUCTOR_PAUSED": "false"}, "", False),
        ("paused = true", {}, "--paused=0", False),
        ("paused = false", {}, "--paused", True),
    ],
)
def test_booleans_are_spelt_as_in_go(
    op_conductor: OpConductor,
    started: list[Config],
    tmp_path: Path,
    file: str,
    env: dict[str, str],
    flags: str,
    expected: bool,
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(file)

    result = op_conductor(f"--config {path} {flags}", env=env)

    assert result.exit_code == 0, result.stderr
    assert started[0].paused is expected


def test_every_option_can_be_set_everywhere(
    op_conductor: OpConductor, started: list[Config], tmp_path: Path
) -> None:
    """The same values as flags, variables and keys give the same configuration."""
    values: dict[str, str | int | bool | list[str]] = {
        "bind_addr": "0.0.0.0:1",
        "grpc_addr": "[::]:2",
        "advertise_addr": "seq-1:3",
        "server_id": "seq-1",
        "identity_key": "key.pem",
        "data_dir": "data",
        "raft_state_dir": "state/seq-1",
        "paused": True,
        "peers": ["http://seq-2:8080", "c=seq-3:9"],
        "cluster_name": "chain-7",
        "quorum_threshold": 3,
        "form_with_quorum": True,
        "new_incarnation": True,
        "epoch_manager": "static",
        "leader": "c",
        "leader_order": "sticky",
        "health_interval_ms": 70,
        "commit_rule": "any",
        "commit_timeout_ms": 71,
        "retain_payloads": 72,
        "retain_bytes": 73,
        "log_level": "debug",
        "log_format": "json",
    }
    assert {*values, "config", "identity"} == {option.toml_key for option in NODE_OPTIONS}
    file = tmp_path / "config.toml"
    # What JSON makes of these values is TOML as well.
    file.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
    texts = {
        key: ",".join(value) if isinstance(value, list) else str(value)
        for key, value in values.items()
    }
    flags = [f"--{key.replace('_', '-')}={text}" for key, text in texts.items()]
    env = {f"OP_CONDUCTOR_{key.upper()}": text for key, text in texts.items()}

    results = [
        op_conductor("--config", str(file)),
        op_conductor("run", *flags),
        op_conductor("run", env=env),
    ]

    assert [result.stderr for result in results] == ["", "", ""]
    by_file, by_flags, by_environment = started
    assert by_file == by_flags == by_environment
    assert by_file.leader_order == "sticky"
    assert by_file.limits.retain_bytes == 73
    assert [peer.server_id for peer in by_file.peers] == [None, "c"]


def test_peers_given_twice_are_one_list(op_conductor: OpConductor, started: list[Config]) -> None:
    op_conductor("--peers http://a:1, --peers b=b:2")

    assert [str(peer.grpc) for peer in started[0].peers] == ["a:10001", "b:2"]


@pytest.mark.parametrize(
    ("arguments", "env", "expected"),
    [
        (
            "--health-interval-ms soon",
            {},
            "--health-interval-ms: 'soon' is not a valid integer",
        ),
        ("--quorum-threshold 0", {}, "--quorum-threshold: 0 is not in the range"),
        ("--quorum-threshold 2", {}, "--quorum-threshold: a quorum threshold of 2 does not fit 1"),
        ("--identity 18446744073709551616", {}, "--identity: 18446744073709551616 is not in"),
        ("--identity -1", {}, "--identity: -1 is not in the range"),
        ("--identity 1 --identity-key x", {}, "--identity and --identity-key exclude each other"),
        ("--bind-addr 127.0.0.1", {}, "--bind-addr: '127.0.0.1' names no port"),
        ("--bind-addr 127.0.0.1:99999", {}, "--bind-addr: '127.0.0.1:99999': port 99999 is above"),
        ("--bind-addr 127.0.0.1:60000", {}, "--grpc-addr"),
        ("--peers https://a:1", {}, "--peers: 'https://a:1': https is not spoken"),
        ("--epoch-manager raft", {}, "'raft' is not one of 'static', 'health'"),
        ("--epoch-manager static --peers http://a:1", {}, "needs --leader"),
        ("--server-id ''", {}, "--server-id: a server id has 1 to 256 bytes"),
        ("--log-level loud", {}, "--log-level"),
        ("--no-such-option", {}, "No such option"),
        ("--peer http://a:1", {}, "--peers"),
        ("--identity 1 status", {}, "unexpected extra argument"),
        ("run", {"OP_CONDUCTOR_RETAIN_BYTES": "lots"}, "OP_CONDUCTOR_RETAIN_BYTES (which is"),
        ("run", {"OP_CONDUCTOR_PEERS": "a"}, "OP_CONDUCTOR_PEERS (which is --peers): 'a' is no"),
        ("run", {"OP_CONDUCTOR_PAUSED": "perhaps"}, "OP_CONDUCTOR_PAUSED"),
    ],
)
def test_bad_value_is_refused_naming_where_it_was_said(
    op_conductor: OpConductor,
    started: list[Config],
    arguments: str,
    env: dict[str, str],
    expected: str,
) -> None:
    result = op_conductor(arguments, env=env)

    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert expected in result.stderr
    assert not started


def test_unknown_variable_becomes_a_note_of_the_node(
    op_conductor: OpConductor, started: list[Config]
) -> None:
    result = op_conductor("run", env={"OP_CONDUCTOR_BIND_ADR": "x", "OP_CONDUCTOR_SERVER": "y:1"})

    assert result.exit_code == 0
    (note,) = started[0].notes
    assert "OP_CONDUCTOR_BIND_ADR is not an option" in note
    assert "did you mean OP_CONDUCTOR_BIND_ADDR?" in note


def test_unknown_variable_is_told_when_no_node_starts(
    op_conductor: OpConductor, started: list[Config]
) -> None:
    result = op_conductor(
        "--epoch-manager static --peers http://a:1", env={"OP_CONDUCTOR_LEADR": "a"}
    )

    assert result.exit_code == 2
    assert "warning: the environment variable OP_CONDUCTOR_LEADR" in result.stderr
    assert "needs --leader" in result.stderr
