"""When nodes form a cluster, when they wait, and what they say meanwhile."""

from __future__ import annotations

import pytest

from conductor.core.forming import Forming
from conductor.core.greeting import Greeting
from conductor.core.quorum import MAJORITY
from conductor.core.values import Genesis, Incarnation, ServerId
from conductor.errors import ConfigError
from tests.core.forming_builders import (
    ADDRESSES,
    a_member,
    exchange,
    facts,
    genesis_of,
    greeting_of,
    reasons_of,
)


def nodes(*names: str, form_with_quorum: bool = False, rule: int = MAJORITY) -> list[Forming]:
    """Freshly started nodes of a cluster of `a`, `b` and `c`."""
    return [
        Forming(facts(a_member(name), rule=rule), form_with_quorum=form_with_quorum)
        for name in names
    ]


def with_peers(b: Greeting, c: Greeting, **own: object) -> Forming:
    """Node `a`, which has heard exactly this of `b` and `c`."""
    node = Forming(facts(a_member("a"), **own))  # type: ignore[arg-type]
    node.heard(ADDRESSES[1], b)
    node.heard(ADDRESSES[2], c)
    return node


class TestForming:
    def test_server_without_peers_forms_a_cluster_of_itself_at_once(self) -> None:
        node = Forming(facts(a_member("a"), voters=ADDRESSES[:1]))
        genesis = genesis_of(node)
        assert genesis == Genesis("test", MAJORITY, (a_member("a"),))
        assert genesis.membership.quorum == 1

    def test_all_voters_form_the_same_cluster_sorted_by_id(self) -> None:
        # Addresses and ids sort differently here: the order is that of the ids.
        ids = {"a": "z", "b": "y", "c": "x"}
        group = [Forming(facts(a_member(name, server_id=ServerId(ids[name])))) for name in "cab"]
        exchange(*group)
        geneses = {genesis_of(node) for node in group}
        (genesis,) = geneses
        assert [voter.server_id for voter in genesis.voters] == ["x", "y", "z"]

    def test_node_forms_only_when_every_voter_proposes_the_same(self) -> None:
        a, b, c = nodes("a", "b", "c")
        exchange(a, b, c, rounds=1)
        b_silent = greeting_of(b, proposed_cluster_id=None)
        a.heard(ADDRESSES[1], b_silent)
        assert "b at host-b:18080 has not heard the same of all voters yet" in reasons_of(a)
        a.heard(ADDRESSES[1], greeting_of(b, proposed_cluster_id=b"\0" * 32))
        assert "b at host-b:18080 has not heard the same" in reasons_of(a)
        exchange(a, b, c)
        genesis_of(a)

    def test_verdict_binds_whatever_is_heard_later(self) -> None:
        a, b, c = nodes("a", "b", "c")
        exchange(a, b, c)
        proposed = greeting_of(a).proposed_cluster_id
        genesis = genesis_of(a)
        a.heard(ADDRESSES[1], greeting_of(b, member=a_member("b", 1)))
        a.unreachable(ADDRESSES[2], "connection refused")
        assert genesis_of(a) == genesis
        assert greeting_of(a).proposed_cluster_id == proposed == genesis.cluster_id

    def test_greeting_carries_the_genesis_only_once_it_is_durable(self) -> None:
        node = Forming(facts(a_member("a"), voters=ADDRESSES[:1]))
        node.verdict()
        assert greeting_of(node).genesis is None
        node.stored()
        assert greeting_of(node).genesis == genesis_of(node)

    def test_node_that_crashed_before_storing_takes_the_genesis_of_the_others(self) -> None:
        a, b, c = nodes("a", "b", "c")
        exchange(a, b, c)
        genesis = genesis_of(a)
        (restarted,) = nodes("b")
        restarted.heard(ADDRESSES[0], greeting_of(a))
        assert genesis_of(restarted) == genesis

    def test_restarted_node_knows_its_cluster_without_hearing_anyone(self) -> None:
        a, b, c = nodes("a", "b", "c")
        exchange(a, b, c)
        genesis = genesis_of(a)
        restarted = Forming(facts(a_member("a")), genesis=genesis)
        assert genesis_of(restarted) == genesis
        assert greeting_of(restarted).genesis == genesis

    def test_greeting_says_whether_the_node_is_paused(self) -> None:
        (node,) = nodes("a")
        assert node.greeting(paused=True).paused
        assert not node.greeting(paused=False).paused


class TestInitialLeader:
    """Whom a Raft state names to lead first. Each node knows only what its own says."""

    @pytest.mark.parametrize(
        ("named", "expected"),
        [
            ((None, None, None), None),
            (("b", None, None), "b"),
            ((None, "b", None), "b"),
            (("b", "b", "b"), "b"),
            (("a", "b", None), None),
            (("stranger", None, None), None),
        ],
    )
    def test_all_nodes_agree_on_the_one_that_is_named(
        self, named: tuple[str | None, ...], expected: str | None
    ) -> None:
        group = [
            Forming(facts(a_member(name), initial_leader=leader))
            for name, leader in zip("abc", named, strict=True)
        ]
        exchange(*group)
        (genesis,) = {genesis_of(node) for node in group}
        assert genesis.initial_leader == expected

    def test_absent_voter_does_not_lead_first(self) -> None:
        group = [
            Forming(facts(a_member(name), initial_leader="c"), form_with_quorum=True)
            for name in "ab"
        ]
        exchange(*group)
        (genesis,) = {genesis_of(node) for node in group}
        assert genesis.initial_leader is None

    def test_node_that_names_nobody_takes_the_genesis_of_the_others(self) -> None:
        a, b, c = (Forming(facts(a_member(name), initial_leader="c")) for name in "abc")
        exchange(a, b, c)
        genesis = genesis_of(a)
        (restarted,) = nodes("b")
        restarted.heard(ADDRESSES[0], greeting_of(a))
        assert genesis_of(restarted) == genesis
        assert genesis.initial_leader == "c"


class TestWipedStore:
    def test_wiped_before_anyone_stored_forms_with_the_new_incarnation(self) -> None:
        a, b, c = nodes("a", "b", "c")
        exchange(a, b, c, rounds=1)
        wiped = Forming(facts(a_member("b", 1)))
        exchange(a, wiped, c)
        assert {genesis_of(node) for node in (a, wiped, c)} == {genesis_of(a)}
        assert genesis_of(a).voters[1].incarnation == "b1"

    def test_wiped_after_another_stored_counts_for_nothing(self) -> None:
        """T22: its former word may be part of a certificate, so it is not the old voter."""
        a, b, c = nodes("a", "b", "c")
        exchange(a, b, c)
        genesis_of(a)
        wiped = Forming(facts(a_member("b", 1)))
        exchange(a, wiped, c)
        reasons = reasons_of(wiped)
        assert "this store was made anew" in reasons
        assert "until an operator restores it" in reasons
        assert genesis_of(c) == genesis_of(a)

    def test_new_key_without_a_new_store_is_refused(self) -> None:
        a, b, c = nodes("a", "b", "c")
        exchange(a, b, c)
        genesis_of(a)
        other_key = Forming(facts(a_member("b", public_key=b"k" * 32)))
        other_key.heard(ADDRESSES[0], greeting_of(a))
        assert "by another key" in reasons_of(other_key)

    def test_server_that_the_cluster_does_not_know_waits_for_an_operator(self) -> None:
        a, b, c = nodes("a", "b", "c")
        exchange(a, b, c)
        genesis_of(a)
        stranger = Forming(facts(a_member("b", server_id=ServerId("stranger"))))
        stranger.heard(ADDRESSES[0], greeting_of(a))
        assert "'stranger' is not among its voters [a, b, c]" in reasons_of(stranger)

    def test_genesis_is_not_taken_when_the_own_configuration_contradicts_it(self) -> None:
        a, b, c = nodes("a", "b", "c")
        exchange(a, b, c)
        genesis_of(a)
        other_rule = Forming(facts(a_member("b"), rule=3))
        other_rule.heard(ADDRESSES[0], greeting_of(a))
        assert "its --quorum-threshold is majority, here it is 3" in reasons_of(other_rule)

    def test_genesis_is_not_taken_while_peers_hold_different_ones(self) -> None:
        (b,) = nodes("b")
        one = Genesis("test", MAJORITY, (a_member("a"), a_member("b"), a_member("c")))
        other = Genesis("test", MAJORITY, (a_member("a", 1), a_member("b"), a_member("c")))
        a, c = nodes("a", "c")
        b.heard(ADDRESSES[0], greeting_of(a, genesis=one))
        b.heard(ADDRESSES[2], greeting_of(c, genesis=other))
        assert "were formed into different clusters" in reasons_of(b)


class TestDisagreements:
    """Whatever differs, nobody forms, and both sides say what is wrong with whom."""

    def greetings(self) -> tuple[Greeting, Greeting]:
        """What `b` and `c` say when they agree with everybody."""
        a, b, c = nodes("a", "b", "c")
        exchange(a, b, c)
        return greeting_of(b), greeting_of(c)

    def test_they_form_when_nothing_differs(self) -> None:
        genesis_of(with_peers(*self.greetings()))

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (
                {"configured_voters": ADDRESSES[:2]},
                "names the voters [host-a:18080, host-b:18080], this server [host-a:18080, host-b",
            ),
            (
                {"quorum_rule": 2},
                "b at host-b:18080 has the quorum threshold 2, this server majority",
            ),
            (
                {"cluster_name": "other"},
                "b at host-b:18080 belongs to the cluster 'other', this server to 'test'",
            ),
            (
                {"member": a_member("b", public_key=a_member("c").public_key)},
                "host-b:18080 and host-c:18080 have the same key",
            ),
            (
                {"member": a_member("b", public_key=a_member("a").public_key)},
                "host-a:18080 and host-b:18080 have the same key",
            ),
            (
                {"member": a_member("b", server_id=ServerId("c"))},
                "host-b:18080 and host-c:18080 have the same server id 'c'",
            ),
            (
                {"member": a_member("b", server_id=ServerId("a"))},
                "host-a:18080 and host-b:18080 have the same server id 'a'",
            ),
            (
                {"member": a_member("a", grpc_address="host-b:18080")},
                "host-a:18080 and host-b:18080 are one server, 'a', under two names",
            ),
            (
                {"member": a_member("b", grpc_address="other:18080")},
                "b at host-b:18080 calls its own address other:18080",
            ),
        ],
    )
    def test_reason_names_who_differs_and_how(self, change: dict[str, object], reason: str) -> None:
        b, c = self.greetings()
        (speaker,) = nodes("b")
        changed = greeting_of(speaker, **{"proposed_cluster_id": b.proposed_cluster_id, **change})
        assert reason in reasons_of(with_peers(changed, c))

    def test_missing_voter_is_named_with_the_reason(self) -> None:
        a, b, c = nodes("a", "b", "c")
        assert "host-c:18080 was not asked yet" in reasons_of(a)
        exchange(a, b)
        assert reasons_of(a) == "host-c:18080 cannot be reached: connection refused"
        exchange(a, b, c)
        assert genesis_of(a) == genesis_of(b) == genesis_of(c)

    def test_voter_that_is_gone_again_does_not_count(self) -> None:
        a, b, c = nodes("a", "b", "c")
        exchange(a, b, c)
        a.unreachable(ADDRESSES[2], "deadline exceeded")
        assert reasons_of(a) == "host-c:18080 cannot be reached: deadline exceeded"

    def test_peer_configured_by_id_must_greet_with_that_id(self) -> None:
        b, c = self.greetings()
        node = Forming(facts(a_member("a")), expected_ids={ADDRESSES[1]: ServerId("boss")})
        node.heard(ADDRESSES[1], b)
        node.heard(ADDRESSES[2], c)
        assert "calls host-b:18080 'boss', but 'b' answers there" in reasons_of(node)

    @pytest.mark.parametrize(
        ("here", "there", "is_likely"),
        [
            ("localhost:1", "127.0.0.1:1", True),
            ("[::1]:1", "127.0.0.1:1", True),
            ("localhost:1", "127.0.0.1:2", False),
            ("node-1:1", "node-1.example.org:1", True),
            ("10.0.0.7:1", "node-1:1", True),
            ("node-1:1", "node-2:1", False),
            ("10.0.0.7:1", "10.0.0.8:1", False),
            ("10.0.0:1", "10.0.0.1:1", False),
        ],
    )
    def test_one_host_under_two_names_is_pointed_out(
        self, here: str, there: str, is_likely: bool
    ) -> None:
        ours = tuple(sorted((ADDRESSES[0], here)))
        theirs = tuple(sorted((ADDRESSES[0], there)))
        node = Forming(facts(a_member("a"), voters=ours))
        peer = Forming(facts(a_member("b", grpc_address=there), voters=theirs))
        node.heard(here, greeting_of(peer))
        hint = f"({here} and {there} look like the same host under two names)"
        assert (hint in reasons_of(node)) == is_likely


class TestConfiguration:
    @pytest.mark.parametrize("rule", [-1, 4])
    def test_quorum_threshold_that_no_quorum_can_meet_is_refused(self, rule: int) -> None:
        with pytest.raises(ConfigError, match="choose 1 to 3"):
            Forming(facts(a_member("a"), rule=rule))

    @pytest.mark.parametrize("rule", [MAJORITY, 1, 2, 3])
    def test_every_quorum_threshold_in_range_is_taken(self, rule: int) -> None:
        a, b, c = nodes("a", "b", "c", rule=rule)
        exchange(a, b, c)
        assert genesis_of(a).quorum_rule == rule

    def test_own_address_under_another_id_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="its --server-id is 'a'"):
            Forming(facts(a_member("a")), expected_ids={ADDRESSES[0]: ServerId("b")})

    def test_list_without_this_server_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="do not include this server"):
            Forming(facts(a_member("a"), voters=ADDRESSES[1:]))

    def test_more_voters_than_a_genesis_can_hold_are_refused(self) -> None:
        voters = tuple(sorted([ADDRESSES[0], *(f"host-{n}:1" for n in range(64))]))
        with pytest.raises(ConfigError, match="65 voters: at most 64"):
            Forming(facts(a_member("a"), voters=voters))


class TestFormingWithQuorum:
    """An operator's word that the absent voters never ran."""

    def test_voters_that_are_here_form_with_the_majority_of_all_as_quorum(self) -> None:
        a, b = nodes("a", "b", form_with_quorum=True)
        exchange(a, b)
        genesis = genesis_of(a)
        assert genesis == genesis_of(b)
        assert [voter.server_id for voter in genesis.voters] == ["a", "b"]
        assert genesis.membership.quorum == genesis.quorum_rule == 2

    def test_all_voters_form_the_same_cluster_with_and_without_the_word(self) -> None:
        (a,) = nodes("a", form_with_quorum=True)
        b, c = nodes("b", "c")
        exchange(a, b, c)
        assert genesis_of(a) == genesis_of(b) == genesis_of(c)
        assert genesis_of(a).quorum_rule == MAJORITY

    @pytest.mark.parametrize("rule", [MAJORITY, 1])
    def test_fewer_than_a_majority_of_all_do_not_form(self, rule: int) -> None:
        """Two groups that share no voter could each form, even where a threshold of 1 is wanted."""
        (a,) = nodes("a", form_with_quorum=True, rule=rule)
        exchange(a)
        assert "1 of 3 voters are here, and even --form-with-quorum needs 2" in reasons_of(a)

    def test_threshold_above_the_majority_must_be_met(self) -> None:
        a, b = nodes("a", "b", form_with_quorum=True, rule=3)
        exchange(a, b)
        assert "needs 3 (not reached: host-c:18080: connection refused)" in reasons_of(a)

    def test_chosen_threshold_stays_as_it_is(self) -> None:
        a, b = nodes("a", "b", form_with_quorum=True, rule=1)
        exchange(a, b)
        assert genesis_of(a).quorum_rule == 1

    def test_voter_that_was_not_asked_yet_is_not_absent(self) -> None:
        a, b = nodes("a", "b", form_with_quorum=True)
        a.heard(ADDRESSES[1], greeting_of(b))
        assert "host-c:18080 was not asked yet" in reasons_of(a)

    def test_voter_that_was_heard_has_run_and_is_not_absent(self) -> None:
        a, b, c = nodes("a", "b", "c", form_with_quorum=True)
        exchange(a, b, c, rounds=1)
        exchange(a, b)
        assert "--form-with-quorum is only for voters that never did" in reasons_of(a)

    def test_voter_that_disagrees_is_not_absent(self) -> None:
        a, b = nodes("a", "b", form_with_quorum=True)
        other = Forming(facts(a_member("c"), rule=1))
        exchange(a, b, other)
        assert "c at host-c:18080 has the quorum threshold 1" in reasons_of(a)

    def test_everyone_who_is_here_has_to_be_given_the_word(self) -> None:
        (a,) = nodes("a", form_with_quorum=True)
        (b,) = nodes("b")
        exchange(a, b)
        assert "b at host-b:18080 has not heard" in reasons_of(a)
        assert "started without --form-with-quorum" in reasons_of(a)

    def test_voter_that_comes_later_learns_that_an_operator_must_add_it(self) -> None:
        a, b = nodes("a", "b", form_with_quorum=True)
        exchange(a, b)
        genesis_of(a), genesis_of(b)
        (c,) = nodes("c")
        exchange(a, b, c)
        assert "'c' is not among its voters [a, b]" in reasons_of(c)

    def test_restarted_voter_takes_the_genesis_even_without_the_word(self) -> None:
        a, b = nodes("a", "b", form_with_quorum=True)
        exchange(a, b)
        genesis = genesis_of(a)
        (restarted,) = nodes("b")
        restarted.heard(ADDRESSES[0], greeting_of(a))
        assert genesis_of(restarted) == genesis

    def test_two_groups_that_formed_after_a_crash_never_both_have_a_quorum(self) -> None:
        """`c` crashed before storing, forgot what it had agreed to, and formed with others."""
        addresses = tuple(f"host-{name}:18080" for name in "abcde")

        def started(name: str) -> Forming:
            own = facts(a_member(name), voters=addresses)
            return Forming(own, form_with_quorum=True)

        a, b, c = started("a"), started("b"), started("c")
        exchange(a, b, c)
        first = genesis_of(a)
        assert genesis_of(b) == first
        c, d, e = started("c"), started("d"), started("e")
        exchange(c, d, e)
        second = genesis_of(c)
        assert second != first
        assert genesis_of(d) == genesis_of(e) == second
        a_and_b = {voter.key for voter in first.voters[:2]}
        assert not first.membership.is_quorum(a_and_b)
        assert second.membership.is_quorum({voter.key for voter in second.voters})


def test_member_of_a_greeting_becomes_a_voter_whatever_it_says() -> None:
    a, b, c = nodes("a", "b", "c")
    exchange(a, b, c)
    a.heard(ADDRESSES[1], greeting_of(b, member=a_member("b", voter=False)))
    assert genesis_of(a) == genesis_of(b)
    assert Incarnation("b0") in {voter.incarnation for voter in genesis_of(a).voters}
