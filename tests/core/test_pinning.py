"""What a formed cluster takes from peers, and from its own operator at a restart."""

from __future__ import annotations

import dataclasses

import pytest

from conductor.core.greeting import Greeting
from conductor.core.pinning import OwnFacts, check_greeting, check_restart
from conductor.core.quorum import MAJORITY
from conductor.core.values import Genesis, ServerId
from conductor.errors import PeerRejected, StoreMismatch
from tests.core.forming_builders import ADDRESSES, a_member, facts

GENESIS = Genesis("test", MAJORITY, (a_member("a"), a_member("b"), a_member("c")))
PARTIAL = Genesis("test", 2, (a_member("a"), a_member("b")))
OTHER = Genesis("test", MAJORITY, (a_member("b"),))
GREETING = Greeting(
    cluster_name="test",
    member=a_member("b"),
    configured_voters=ADDRESSES,
    quorum_rule=MAJORITY,
    genesis=GENESIS,
    proposed_cluster_id=GENESIS.cluster_id,
    paused=False,
    version="0.0.0",
)


class TestGreetingsOfAFormedCluster:
    def test_voter_of_the_cluster_is_let_in(self) -> None:
        check_greeting(GENESIS, GREETING)

    def test_voter_that_crashed_before_storing_is_let_in(self) -> None:
        """It has to be, to take the genesis."""
        check_greeting(GENESIS, dataclasses.replace(GREETING, genesis=None))

    def test_voter_of_a_cluster_formed_by_a_quorum_is_let_in(self) -> None:
        check_greeting(PARTIAL, dataclasses.replace(GREETING, genesis=PARTIAL))

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"member": a_member("b", public_key=b"k" * 32)}, "b has another key"),
            ({"member": a_member("b", 1)}, "its store was made anew; it receives the log and"),
            (
                {"member": a_member("b", 1, public_key=b"k" * 32), "genesis": None},
                "its store was made anew",
            ),
            ({"genesis": OTHER}, "b was formed into another cluster"),
            ({"quorum_rule": 2}, "b has the quorum threshold 2, the cluster majority"),
            ({"cluster_name": "other"}, "belongs to the cluster 'other', not to 'test'"),
            ({"member": a_member("d")}, "d is no voter of this cluster"),
        ],
    )
    def test_whoever_differs_is_refused(self, change: dict[str, object], reason: str) -> None:
        greeting = dataclasses.replace(GREETING, **change)  # type: ignore[arg-type]
        with pytest.raises(PeerRejected, match=reason):
            check_greeting(GENESIS, greeting)

    def test_threshold_that_never_was_is_refused(self) -> None:
        """The greeting of anyone who reaches the port: no number in it may break anything."""
        for rule in (-1, 4, 2**32 - 1):
            with pytest.raises(PeerRejected):
                check_greeting(GENESIS, dataclasses.replace(GREETING, quorum_rule=rule))


class TestRestart:
    def test_unchanged_configuration_is_taken(self) -> None:
        check_restart(GENESIS, facts(a_member("a")))

    @pytest.mark.parametrize("voters", [ADDRESSES, ADDRESSES[:2]])
    def test_cluster_formed_by_a_quorum_takes_the_list_it_was_formed_with(
        self, voters: tuple[str, ...]
    ) -> None:
        """And, with a majority of two being two, the list of those that are in it."""
        rule = MAJORITY if voters == ADDRESSES else 2
        check_restart(PARTIAL, facts(a_member("a"), voters=voters, rule=rule))

    @pytest.mark.parametrize(
        ("own", "reason"),
        [
            (facts(a_member("a", server_id=ServerId("z"))), "'z' is not among its voters"),
            (facts(a_member("a", public_key=b"k" * 32)), "another key .see --identity"),
            (facts(a_member("a", 1)), "this store was made anew"),
            (facts(a_member("a", grpc_address="new:18080")), "see --advertise-addr"),
            (facts(a_member("a", gateway_address="new:8080")), "but this server is at"),
            (facts(a_member("a"), voters=ADDRESSES[:2]), "its voters are .*--peers names"),
            (facts(a_member("a"), voters=(*ADDRESSES, "z:1")), "its voters are .*--peers names"),
            (facts(a_member("a"), rule=2), "its --quorum-threshold is majority, here it is 2"),
            (facts(a_member("a"), cluster_name="x"), "its --cluster-name is 'test', here .* 'x'"),
        ],
    )
    def test_changed_option_is_refused_and_named(self, own: OwnFacts, reason: str) -> None:
        with pytest.raises(StoreMismatch, match=reason) as caught:
            check_restart(GENESIS, own)
        assert "or name an empty --data-dir to begin anew" in str(caught.value)

    def test_all_that_changed_is_named_at_once(self) -> None:
        with pytest.raises(StoreMismatch) as caught:
            check_restart(GENESIS, facts(a_member("a"), rule=2, cluster_name="x"))
        assert "--cluster-name" in str(caught.value)
        assert "--quorum-threshold" in str(caught.value)
