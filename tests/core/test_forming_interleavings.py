"""No order of greetings, decisions, wipes and crashes makes two nodes store different geneses."""

from __future__ import annotations

from conductor.core.forming import Formed, Forming
from conductor.core.values import Genesis
from tests.core.forming_explorer import Explorer, Rules, State

STATES_MIN = 4000
"""Fewer would mean that the explorer does not get anywhere."""


def forks(rules: Rules, start: State) -> list[State]:
    """The states in which nodes hold different geneses; stops at the first."""
    states_count = formed_count = 0
    for state in Explorer(rules).reachable(start):
        states_count += 1
        formed_count += bool(state.geneses)
        if len(state.geneses) > 1:
            return [state]
    assert states_count > STATES_MIN
    assert formed_count > STATES_MIN // 4
    return []


def test_no_order_of_late_answers_forms_two_clusters() -> None:
    assert forks(Rules(delays=True), State()) == []


def test_one_wipe_never_forms_two_clusters_and_the_rest_always_forms_one() -> None:
    """T22: before or after storing; whoever is wiped afterwards stores nothing."""
    explorer = Explorer(Rules())
    for state in explorer.reachable(State(wipes=1)):
        assert len(state.geneses) <= 1
        end = explorer.settled(state)
        (genesis,) = end.geneses
        for voter, node in zip(genesis.voters, end.nodes, strict=True):
            is_named = voter.incarnation == f"{voter.server_id}{node.incarnation}"
            assert node.stored == (genesis if is_named else None)


def test_initial_leader_that_a_wipe_forgets_never_forms_two_clusters() -> None:
    assert forks(Rules(names_initial_leader=True), State(wipes=1)) == []


def test_head_that_a_wipe_forgets_never_forms_two_clusters() -> None:
    """Before the wipe the first node's block is the newest, after it that of the others."""
    assert forks(Rules(inherits=True), State(wipes=1)) == []


def test_forming_with_a_quorum_never_forms_two_clusters_while_nobody_crashes() -> None:
    assert forks(Rules(form_with_quorum=True), State(losses=1)) == []


def test_explorer_finds_the_fork_when_nodes_do_not_wait_for_echoes() -> None:
    def without_echoes(forming: Forming) -> Genesis | None:
        verdict = forming.verdict()
        return verdict.genesis if isinstance(verdict, Formed) else forming._proposal()

    assert forks(Rules(decision=without_echoes), State(wipes=1))


def test_explorer_finds_the_fork_when_a_verdict_does_not_bind() -> None:
    assert forks(Rules(binds=False), State(wipes=1))
