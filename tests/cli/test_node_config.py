"""What a node's options make together: the defaults that follow, and the contradictions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor.cli.addresses import parse_peers
from conductor.cli.node_config import NodeSettings, directory_name, node_config
from conductor.config import Address, Config, PeerAddress, other_voters, parse_address
from conductor.errors import ConfigError

SETTINGS = NodeSettings(
    bind_addr=Address("127.0.0.1", 8080),
    grpc_addr=None,
    advertise_addr=None,
    server_id=None,
    identity=None,
    identity_key=None,
    data_dir=None,
    raft_state_dir=None,
    paused=False,
    peers=(),
    cluster_name="op-conductor",
    quorum_threshold=None,
    form_with_quorum=False,
    new_incarnation=False,
    epoch_manager="health",
    leader=None,
    leader_order="ordered",
    health_interval_ms=1000,
    commit_rule="reorg",
    commit_timeout_ms=800,
    retain_payloads=1024,
    retain_bytes=512 * 2**20,
    log_level="info",
    log_format="text",
)

THIS = PeerAddress(Address("host", 1), "this")


def config(
    bind: str, *, grpc: str | None = None, advertise: str | None = None, peers: str = ""
) -> Config:
    settings = dataclasses.replace(
        SETTINGS,
        bind_addr=parse_address(bind),
        grpc_addr=parse_address(grpc) if grpc else None,
        advertise_addr=parse_address(advertise) if advertise else None,
        peers=(parse_peers(peers),),
    )
    return node_config(settings, host_name="Machine")


def test_defaults_are_those_of_the_configuration() -> None:
    assert node_config(SETTINGS, host_name="machine") == Config()


@pytest.mark.parametrize(
    ("bind", "grpc", "advertise", "addresses"),
    [
        ("127.0.0.1:8080", None, None, "127.0.0.1:18080 127.0.0.1:8080 127.0.0.1:18080"),
        ("[::1]:8080", None, None, "[::1]:18080 [::1]:8080 [::1]:18080"),
        ("0.0.0.0:8080", None, None, "0.0.0.0:18080 machine:8080 machine:18080"),
        ("[::]:8080", None, None, "[::]:18080 machine:8080 machine:18080"),
        (":8080", None, None, "0.0.0.0:18080 machine:8080 machine:18080"),
        ("127.0.0.1:0", None, None, "127.0.0.1:0 127.0.0.1:0 127.0.0.1:0"),
        ("127.0.0.1:55535", None, None, "127.0.0.1:65535 127.0.0.1:55535 127.0.0.1:65535"),
        ("127.0.0.1:60000", "127.0.0.1:7", None, "127.0.0.1:7 127.0.0.1:60000 127.0.0.1:7"),
        ("0.0.0.0:8080", None, "seq-1:80", "0.0.0.0:18080 seq-1:80 seq-1:18080"),
        # A gateway for this machine alone, and peers that come from outside.
        ("127.0.0.1:8080", "10.0.0.5:9", None, "10.0.0.5:9 127.0.0.1:8080 10.0.0.5:9"),
        ("127.0.0.1:8080", "0.0.0.0:9", None, "0.0.0.0:9 127.0.0.1:8080 machine:9"),
    ],
)
def test_addresses_follow_from_the_bind_address(
    bind: str, grpc: str | None, advertise: str | None, addresses: str
) -> None:
    made = config(bind, grpc=grpc, advertise=advertise)

    assert f"{made.grpc_bind} {made.advertise} {made.grpc_advertise}" == addresses
    assert made.server_id == str(made.advertise)


def test_gateway_port_without_room_for_grpc_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--grpc-addr host:port"):
        config("127.0.0.1:55536")


@pytest.mark.parametrize("advertise", ["0.0.0.0:8080", "[::]:8080", ":8080", "host:0"])
def test_unreachable_advertised_address_is_refused(advertise: str) -> None:
    with pytest.raises(ConfigError, match=r"--advertise-addr .* cannot be reached"):
        config("0.0.0.0:8080", advertise=advertise)


def test_peers_may_name_this_server() -> None:
    alone = config("127.0.0.1:8081", peers="http://127.0.0.1:8082")
    listed = config("127.0.0.1:8081", peers="http://127.0.0.1:8081,http://127.0.0.1:8082")

    assert alone == listed


@pytest.mark.parametrize(
    ("peers", "expected"),
    [
        ("http://a:1,http://a:1/,http://A:1", ["a:10001"]),
        ("http://a:1,a=a:10001", ["a=a:10001"]),
        ("a=a:10001,http://a:1,a=a:10001", ["a=a:10001"]),
        ("this=host:1,a=a:2", ["a=a:2"]),
    ],
)
def test_voter_named_twice_counts_once(peers: str, expected: list[str]) -> None:
    voters = other_voters(list(parse_peers(peers)), THIS)

    assert [
        f"{voter.server_id}={voter.grpc}" if voter.server_id else str(voter.grpc)
        for voter in voters
    ] == expected


@pytest.mark.parametrize(
    ("peers", "expected"),
    [
        ("a=x:2,b=x:2", "x:2 cannot be both a and b"),
        ("a=x:2,a=x:3", "a cannot be at both x:2 and x:3"),
        ("other=host:1", "cannot be both this and other; this at host:1 is this server"),
        ("this=elsewhere:1", "cannot be at both host:1 and elsewhere:1; this at host:1 is this"),
    ],
)
def test_contradicting_voters_are_refused(peers: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        other_voters(list(parse_peers(peers)), THIS)

    assert expected in str(caught.value)


def test_server_is_called_like_the_folder_of_its_raft_state(tmp_path: Path) -> None:
    """Whether it is there or not: a store that was made from it does not need it any more."""
    (tmp_path / "link").symlink_to(tmp_path / "seq-1")
    for directory in (tmp_path / "seq-1", tmp_path / "link", tmp_path / "other" / ".." / "seq-1"):
        given = dataclasses.replace(SETTINGS, raft_state_dir=directory)

        made = node_config(given, host_name="")

        assert made.server_id == "seq-1"
        assert made.data_dir == Path("op-conductor-data", "seq-1")
        assert made.raft_state_dir == directory


def test_server_id_comes_before_the_folder_of_a_raft_state() -> None:
    given = dataclasses.replace(SETTINGS, raft_state_dir=Path("/state"), server_id="seq-1")

    assert node_config(given, host_name="").server_id == "seq-1"


@pytest.mark.parametrize("directory", ["/", "/two words"])
def test_folder_that_cannot_name_a_server_is_refused(directory: str) -> None:
    given = dataclasses.replace(SETTINGS, raft_state_dir=Path(directory))

    with pytest.raises(ConfigError, match=r"--raft-state-dir /.*--server-id"):
        node_config(given, host_name="")


def test_peers_beside_a_raft_state_are_judged_when_that_is_read() -> None:
    """Which of them is this server, and how many voters there are, is known only then."""
    peers = parse_peers("this=host:1,other=host:2,other=host:2")
    given = dataclasses.replace(
        SETTINGS, raft_state_dir=Path("/state/this"), peers=(peers,), quorum_threshold=9
    )

    assert node_config(given, host_name="").peers == peers


def test_default_grpc_port_is_told_from_a_given_one() -> None:
    assert config("127.0.0.1:8080").grpc_bind_is_default
    assert not config("127.0.0.1:8080", grpc="127.0.0.1:18080").grpc_bind_is_default


def test_quorum_threshold_counts_this_server() -> None:
    peers = (parse_peers("http://a:1,http://b:1"),)
    fits = dataclasses.replace(SETTINGS, peers=peers, quorum_threshold=3)
    assert node_config(fits, host_name="").quorum_rule == 3

    with pytest.raises(ConfigError, match=r"--quorum-threshold: .* choose 1 to 3"):
        node_config(dataclasses.replace(fits, quorum_threshold=4), host_name="")


@pytest.mark.parametrize(
    ("server_id", "expected"),
    [
        ("127.0.0.1:8080", "127.0.0.1_8080"),
        ("[::1]:8080", "[__1]_8080"),
        ("seq-1", "seq-1"),
    ],
)
def test_data_directory_is_called_like_the_server(server_id: str, expected: str) -> None:
    made = node_config(dataclasses.replace(SETTINGS, server_id=server_id), host_name="")

    assert made.data_dir == Path("op-conductor-data", expected)


@given(st.text(min_size=1, max_size=256).filter(str.isprintable))
def test_directory_name_is_one_plain_name(server_id: str) -> None:
    name = directory_name(server_id)

    assert Path(name).name == name
    assert name not in (".", "..")
    assert name.isascii()
    assert len(name) < 255


def test_ids_that_differ_in_unsafe_characters_get_different_directories() -> None:
    names = {directory_name(server_id) for server_id in ("a/b", "a\\b", "a b", "..", ".", "a_b")}

    assert len(names) == 6
