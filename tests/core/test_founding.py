"""A cluster that begins after a Raft state: what cannot begin, and which epoch comes first."""

from __future__ import annotations

import pytest

from conductor.core.founding import FIRST_PROMISE_MAX, Founding, FoundingVoter
from conductor.core.values import MEMBERS_MAX, Epoch, ServerId
from conductor.errors import InvalidArgument
from tests.core.ensemble import Ensemble
from tests.core.subject import Subject


def voters(*names: str) -> tuple[FoundingVoter, ...]:
    return tuple(FoundingVoter(ServerId(name), f"{name}:50050") for name in names)


TWINS = (FoundingVoter(ServerId("a"), "host:1"), FoundingVoter(ServerId("b"), "host:1"))
MANY = voters(*(f"n{number:02}" for number in range(MEMBERS_MAX + 1)))


@pytest.mark.parametrize(
    ("members", "epoch", "leader", "problem"),
    [
        (voters(), 1, None, "0 voters"),
        (MANY, 1, None, f"{MEMBERS_MAX + 1} voters"),
        (voters("b", "a"), 1, None, "not distinct and in the order"),
        (voters("a", "a"), 1, None, "not distinct"),
        (TWINS, 1, None, "not distinct"),
        (voters("a"), -1, None, "epoch -1"),
        (voters("a"), FIRST_PROMISE_MAX + 1, None, "too high to begin after"),
        (voters("a", "b"), 1, "c", "initial leader 'c' is no voter"),
    ],
)
def test_what_cannot_begin_a_cluster_is_no_founding(
    members: tuple[FoundingVoter, ...], epoch: int, leader: str | None, problem: str
) -> None:
    named = ServerId(leader) if leader is not None else None

    with pytest.raises(InvalidArgument, match=problem):
        Founding(members, Epoch(epoch), named)


def begun(*promises: int) -> Ensemble:
    """A cluster whose nodes begin with these promises, to nobody."""
    ensemble = Ensemble(len(promises))
    for (name, node), epoch in zip(list(ensemble.nodes.items()), promises, strict=True):
        ensemble.nodes[name] = Subject(name, genesis=node.genesis, promise=(epoch, ""))
    return ensemble


def led_by(ensemble: Ensemble, name: str) -> int:
    """The epoch in which that node comes to lead, named again and again."""
    for _ in range(50):
        ensemble.designate(name)
        ensemble.run(100)
        if ensemble.leaders == [name]:
            leadership = ensemble.nodes[name].machine.leadership
            assert leadership is not None
            return leadership.epoch
    raise AssertionError(f"{name} never comes to lead")


@pytest.mark.parametrize("term", [0, 1, 5, FIRST_PROMISE_MAX])
def test_first_epoch_follows_the_term(term: int) -> None:
    ensemble = begun(term, term, term)

    assert led_by(ensemble, "b") == term + 1


@pytest.mark.parametrize(
    "terms", [(1, 1, 5), (5, 1, 1), (1, 5, 1), (1, 3, 9), (0, 0, FIRST_PROMISE_MAX)]
)
@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_nodes_that_begin_with_different_promises_come_to_follow_one_leader(
    terms: tuple[int, ...], name: str
) -> None:
    """Whoever has promised more than the first leader asks for is followed to a higher epoch."""
    ensemble = begun(*terms)
    led_by(ensemble, name)

    ensemble.run(10_000)
    epoch = led_by(ensemble, name)
    ensemble.submit(name, 1)
    ensemble.run(1000)

    assert epoch > max(terms)
    for node in ensemble.nodes.values():
        assert node.machine.node.promise.epoch == epoch
        assert node.log.certified.index == node.log.last.index
        assert node.log.certified.epoch == epoch


def test_promise_further_ahead_than_a_founding_may_be_is_never_followed() -> None:
    """Why there is a limit: the third node is left alone for good."""
    ensemble = begun(0, 0, 2**33)
    led_by(ensemble, "a")

    ensemble.run(30_000)

    assert ensemble.leaders == ["a"]
    assert ensemble.nodes["c"].log.last.index == 0
