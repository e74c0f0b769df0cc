"""What a conductor makes of a Raft state: voters, first epoch, who leads first, refusals."""

from __future__ import annotations

import dataclasses

import pytest

from conductor.config import Address, Config, PeerAddress
from conductor.core.founding import FIRST_PROMISE_MAX, Founding, FoundingVoter
from conductor.core.values import MEMBERS_MAX, Epoch, ServerId
from conductor.errors import ConductorError, ConfigError, StoreError
from conductor.migration import RaftState, founding_of, settled
from raft_state.raft import Configuration, Server, Suffrage

IDS = ("a", "b", "c")


def configured(voters: str, nonvoters: str = "") -> Configuration:
    """A configuration of members with one-letter names, a letter each."""
    return Configuration(
        tuple(
            Server(name, f"host-{name}:50050", suffrage)
            for names, suffrage in ((voters, Suffrage.VOTER), (nonvoters, Suffrage.NONVOTER))
            for name in names
        )
    )


def a_state(
    *configurations: Configuration, own: str = "a", term: int = 1, voted_for: str = ""
) -> RaftState:
    return RaftState(own, term, voted_for, configurations or (configured("abc"),))


def a_founding(*, first_promise: int = 1, initial_leader: str | None = None) -> Founding:
    return Founding(
        tuple(FoundingVoter(ServerId(name), f"host-{name}:50050") for name in IDS),
        Epoch(first_promise),
        ServerId(initial_leader) if initial_leader is not None else None,
    )


@pytest.mark.parametrize(
    ("state", "founding"),
    [
        pytest.param(a_state(), a_founding(), id="nobody is to lead first"),
        pytest.param(
            a_state(configured("cab"), term=5), a_founding(first_promise=5), id="in any order"
        ),
        pytest.param(a_state(voted_for="b"), a_founding(initial_leader="b"), id="vote for an id"),
        pytest.param(
            a_state(voted_for="host-b:50050"),
            a_founding(initial_leader="b"),
            id="vote for an address",
        ),
        pytest.param(a_state(voted_for="10.0.0.9:1"), a_founding(), id="vote for somebody else"),
        pytest.param(
            a_state(configured("b", "ac")), a_founding(initial_leader="b"), id="enforced, follower"
        ),
        pytest.param(
            a_state(configured("b", "ac"), configured("abc"), own="b"),
            a_founding(initial_leader="b"),
            id="enforced, leader",
        ),
        pytest.param(
            a_state(configured("b", "ac"), configured("abc"), voted_for="c"),
            a_founding(initial_leader="c"),
            id="enforced, and elections since",
        ),
        pytest.param(
            a_state(configured("ab"), configured("abc")), a_founding(), id="the latest counts"
        ),
        pytest.param(
            a_state(term=FIRST_PROMISE_MAX),
            a_founding(first_promise=FIRST_PROMISE_MAX),
            id="highest term",
        ),
    ],
)
def test_founding_is_what_the_state_says(state: RaftState, founding: Founding) -> None:
    assert founding_of(state) == founding


def test_single_member_founds_a_cluster_of_its_own() -> None:
    founding = founding_of(a_state(configured("a"), voted_for="a"))

    assert [voter.server_id for voter in founding.voters] == ["a"]
    assert founding.initial_leader == "a"


def test_addresses_get_the_spelling_in_which_nodes_compare_them() -> None:
    servers = (Server("a", "Host-A.Example:50050"), Server("b", "[0:0::1]:50050"))

    founding = founding_of(a_state(Configuration(servers)))

    addresses = [voter.grpc_address for voter in founding.voters]
    assert addresses == ["host-a.example:50050", "[::1]:50050"]


MANY = tuple(Server("a" * number, f"host:{number}") for number in range(1, MEMBERS_MAX + 2))


def with_server(server_id: str, address: str) -> RaftState:
    return a_state(Configuration((Server("a", "host-a:50050"), Server(server_id, address))))


@pytest.mark.parametrize(
    ("state", "error", "problem"),
    [
        (a_state(own="x"), ConfigError, r"members \[a, b, c\] do not include 'x'.*--server-id"),
        (dataclasses.replace(a_state(), configurations=()), StoreError, "who the members are"),
        (a_state(configured("ab", "c")), StoreError, r"\[c\] are not voters.*without them"),
        (
            a_state(configured("a"), configured("a", "bc")),
            StoreError,
            r"\[b, c\] are not voters",
        ),
        (a_state(configured("a", "bc")), StoreError, r"\[b, c\] are not voters"),
        (a_state(configured("aab")), StoreError, "a.* is there twice"),
        (a_state(Configuration()), StoreError, "there is no voter"),
        (a_state(term=FIRST_PROMISE_MAX + 1), StoreError, "term 2147483649 is too high"),
        (a_state(term=2**64 - 1), StoreError, "too high"),
        (with_server("b c", "host:1"), StoreError, "leave out spaces"),
        (with_server("b", "host"), StoreError, "names no port"),
        (with_server("b", "host:0"), StoreError, "listened on but not reached"),
        (with_server("b", "0.0.0.0:1"), StoreError, "listened on but not reached"),
        (with_server("b", "HOST-a:50050"), StoreError, "not distinct"),
        (with_server("\udcff", "host:1"), StoreError, "member 0xff: .*no server id"),
        (with_server("b", "h\udcff:1"), StoreError, "no host name"),
        (a_state(Configuration(MANY)), StoreError, f"{len(MANY)} voters"),
    ],
)
def test_state_that_no_cluster_can_begin_with_is_refused(
    state: RaftState, error: type[ConductorError], problem: str
) -> None:
    with pytest.raises(error, match=problem) as caught:
        founding_of(state)

    str(caught.value).encode()  # It can be printed, whatever the names in the state are made of.


# The configuration of the node


CONFIG = Config(server_id="a", bind=Address("0.0.0.0", 8080), grpc_bind=Address("0.0.0.0", 18080))


def peers(*texts: str) -> tuple[PeerAddress, ...]:
    """Peers by `id=host:port` or `host:port`."""
    found = []
    for text in texts:
        server_id, _, address = text.rpartition("=")
        host, _, port = address.partition(":")
        found.append(PeerAddress(Address(host, int(port)), server_id or None))
    return tuple(found)


def test_voters_and_grpc_addresses_come_from_the_state() -> None:
    config = settled(CONFIG, a_founding())

    assert config.grpc_bind == Address("0.0.0.0", 50050)
    assert config.grpc_advertise == Address("host-a", 50050)
    assert config.peers == peers("b=host-b:50050", "c=host-c:50050")
    assert config.voter_addresses == ("host-a:50050", "host-b:50050", "host-c:50050")


def test_grpc_listens_where_it_was_told_to() -> None:
    told = dataclasses.replace(CONFIG, grpc_bind_is_default=False)

    config = settled(told, a_founding())

    assert config.grpc_bind == Address("0.0.0.0", 18080)
    assert config.grpc_advertise == Address("host-a", 50050)


@pytest.mark.parametrize(
    "named",
    [
        peers("host-b:50050", "host-c:50050"),
        peers("a=host-a:50050", "b=host-b:50050", "host-c:50050", "c=host-c:50050"),
    ],
)
def test_peers_that_agree_may_be_given(named: tuple[PeerAddress, ...]) -> None:
    given = dataclasses.replace(CONFIG, peers=named)

    assert settled(given, a_founding()) == settled(CONFIG, a_founding())


@pytest.mark.parametrize(
    "named",
    [
        peers("host-b:50050"),
        peers("host-b:50050", "host-c:50050", "host-d:50050"),
        peers("host-b:18080", "host-c:50050"),
        peers("c=host-b:50050", "b=host-c:50050"),
        peers("x=host-b:50050", "host-c:50050"),
    ],
)
def test_peers_that_differ_are_refused_with_both_lists(named: tuple[PeerAddress, ...]) -> None:
    with pytest.raises(ConfigError, match=r"--peers names \[.*the voters \[a=host-a:50050, b="):
        settled(dataclasses.replace(CONFIG, peers=named), a_founding())


def test_quorum_threshold_counts_the_voters_of_the_state() -> None:
    fits = dataclasses.replace(CONFIG, quorum_rule=3)
    assert settled(fits, a_founding()).quorum_rule == 3

    with pytest.raises(ConfigError, match=r"--quorum-threshold: .* choose 1 to 3"):
        settled(dataclasses.replace(CONFIG, quorum_rule=4), a_founding())


def test_static_manager_needs_a_leader_here_too() -> None:
    with pytest.raises(ConfigError, match="--epoch-manager static needs --leader"):
        settled(dataclasses.replace(CONFIG, epoch_manager="static"), a_founding())


def test_store_of_another_server_is_not_settled() -> None:
    with pytest.raises(ConfigError, match="--server-id"):
        settled(dataclasses.replace(CONFIG, server_id="x"), a_founding())


def test_store_that_was_there_goes_by_the_options_alone() -> None:
    """`--raft-state-dir` is ignored, and `--peers` means what it means without it."""
    given = dataclasses.replace(CONFIG, peers=peers("127.0.0.1:18080", "host-b:1", "host-b:1"))

    assert settled(given, None) == dataclasses.replace(CONFIG, peers=peers("host-b:1"))
