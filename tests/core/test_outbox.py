"""What waits for the disk runs when the disk is done, in order, and never before."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor.core.effects import Effects, Send, Touch, Write
from conductor.core.messages import Heard
from conductor.core.outbox import Outbox
from conductor.core.values import Epoch, ServerId
from conductor.errors import InvariantViolation


def said(number: int) -> Heard:
    return Heard(Epoch(1), number)


def test_with_nothing_to_wait_for_an_action_runs_at_once() -> None:
    outbox = Outbox()
    ran: list[int] = []

    outbox.when_durable(partial(ran.append, 1))

    assert ran == [1]


def test_an_action_waits_for_the_writes_of_its_own_step() -> None:
    """Trap T26: an answer in the same batch as its write would leave before it."""
    outbox = Outbox()
    ran: list[int] = []
    outbox.write(Touch())
    outbox.when_durable(partial(ran.append, 1))
    outbox.take(0)

    assert ran == []

    outbox.completed(1)
    assert ran == [1]


def test_an_action_waits_for_the_writes_of_earlier_steps() -> None:
    """A repeated Append writes nothing, and is not acknowledged before the first is durable."""
    outbox = Outbox()
    ran: list[int] = []
    outbox.write(Touch())
    outbox.take(0)
    outbox.when_durable(partial(ran.append, 1))

    assert ran == []

    outbox.completed(1)
    assert ran == [1]


def test_an_action_does_not_wait_for_later_writes() -> None:
    outbox = Outbox()
    ran: list[int] = []
    for number in (1, 2):
        outbox.write(Touch())
        outbox.when_durable(partial(ran.append, number))
        outbox.take(0)

    outbox.completed(1)

    assert ran == [1]


def test_one_completion_may_stand_for_several_writes() -> None:
    """Several writes share a transaction."""
    outbox = Outbox()
    ran: list[int] = []
    for number in (1, 2, 3):
        outbox.write(Touch())
        outbox.when_durable(partial(ran.append, number))
        outbox.take(0)

    outbox.completed(2)
    assert ran == [1, 2]

    outbox.completed(3)
    assert ran == [1, 2, 3]
    assert outbox.is_idle()


def test_what_an_action_writes_is_waited_for_by_what_it_asks_for() -> None:
    outbox = Outbox()
    ran: list[str] = []

    def write_again() -> None:
        ran.append("first")
        outbox.write(Touch())
        outbox.when_durable(partial(ran.append, "second"))

    outbox.write(Touch())
    outbox.when_durable(write_again)
    outbox.take(0)
    outbox.completed(1)

    assert ran == ["first"]
    assert outbox.take(0).writes == (Write(2, (Touch(),)),)

    outbox.completed(2)
    assert ran == ["first", "second"]


@pytest.mark.parametrize("sequence", [0, 1])
def test_a_completion_of_a_write_that_is_not_owed_stops_the_node(sequence: int) -> None:
    """Trap T11: crediting a completion to another write would acknowledge what is not durable."""
    outbox = Outbox()
    outbox.write(Touch())
    outbox.take(0)
    outbox.completed(1)

    with pytest.raises(InvariantViolation, match="out of order"):
        outbox.completed(sequence)


def test_a_completion_of_a_write_that_was_never_issued_stops_the_node() -> None:
    outbox = Outbox()
    outbox.write(Touch())
    outbox.take(0)

    with pytest.raises(InvariantViolation, match="out of order"):
        outbox.completed(2)


def test_effects_are_handed_out_once_and_in_order() -> None:
    outbox = Outbox()
    outbox.send(ServerId("b"), said(1), reply_to=7)
    outbox.send(ServerId("c"), said(2))
    outbox.write(Touch())

    assert outbox.take(0) == Effects(
        (Send(ServerId("b"), said(1), 7), Send(ServerId("c"), said(2))), (Write(1, (Touch(),)),)
    )
    assert outbox.take(0) == Effects()


def test_operations_of_one_step_become_durable_together() -> None:
    outbox = Outbox()
    outbox.write(Touch())
    outbox.write(Touch())

    assert outbox.take(0).writes == (Write(1, (Touch(), Touch())),)


def test_the_age_of_the_oldest_write_is_that_of_the_one_still_owed() -> None:
    outbox = Outbox()
    assert outbox.oldest_pending_age_ms(50) == 0
    for now_ms in (100, 200):
        outbox.write(Touch())
        outbox.take(now_ms)

    assert outbox.oldest_pending_age_ms(250) == 150

    outbox.completed(1)
    assert outbox.oldest_pending_age_ms(250) == 50

    outbox.completed(2)
    assert outbox.oldest_pending_age_ms(250) == 0


@given(st.lists(st.sampled_from(["write", "wait", "step", "complete"]), max_size=40))
def test_actions_run_in_the_order_given_and_only_when_their_writes_are_durable(
    script: list[str],
) -> None:
    outbox = Outbox()
    ran: list[int] = []
    needed: list[int] = []
    issued = completed = 0
    has_operations = False
    for word in script:
        if word == "write":
            outbox.write(Touch())
            has_operations = True
        elif word == "wait":
            needed.append(issued + 1 if has_operations else issued)
            outbox.when_durable(partial(ran.append, len(needed) - 1))
        elif word == "step":
            issued += len(outbox.take(0).writes)
            has_operations = False
        elif completed < issued:
            completed += 1
            outbox.completed(completed)

        assert ran == list(range(len(ran)))
        assert all(needed[number] <= completed for number in ran)
        assert len(ran) == sum(1 for sequence in needed if sequence <= completed)
