"""Every order in which three nodes can greet, decide, store, fail to reach, crash and be wiped.

Only the nodes' own rules are under test: a node is plain data here, and a `Forming` is made anew
from what it has heard whenever one is needed. An answer may stay on its way while all else goes on,
but a node asks an address by one call at a time, and forgets its calls when it crashes.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from conductor.core.forming import Formed, Forming
from conductor.core.founding import RaftEnd
from conductor.core.greeting import Greeting
from conductor.core.pinning import OwnFacts
from conductor.core.values import Genesis, Head
from tests.core.builders import a_block
from tests.core.forming_builders import ADDRESSES, a_member, facts

T = TypeVar("T")

COUNT = len(ADDRESSES)


@dataclass(frozen=True)
class NodeState:
    """One node: what it holds on disk, and what it has heard since it started."""

    incarnation: int = 0
    stored: Genesis | None = None
    decided: Genesis | None = None
    heard: tuple[Greeting | None, ...] = (None,) * COUNT
    lost: tuple[bool, ...] = (False,) * COUNT
    ever_heard: tuple[bool, ...] = (False,) * COUNT


@dataclass(frozen=True)
class State:
    """All nodes, the answers on their way (by asker and asked), and the faults still to come."""

    nodes: tuple[NodeState, ...] = (NodeState(),) * COUNT
    answers: tuple[Greeting | None, ...] = (None,) * COUNT**2
    wipes: int = 0
    crashes: int = 0
    losses: int = 0

    def with_node(self, place: int, node: NodeState) -> State:
        """The same but for one node."""
        return dataclasses.replace(self, nodes=_replaced(self.nodes, place, node))

    def restarted(self, place: int, node: NodeState) -> State:
        """The same, with a new process in one place."""
        pairs = enumerate(self.answers)
        answers = tuple(None if call // COUNT == place else answer for call, answer in pairs)
        return dataclasses.replace(self.with_node(place, node), answers=answers)

    @property
    def geneses(self) -> set[Genesis]:
        """The different geneses that nodes hold."""
        return {node.stored for node in self.nodes if node.stored}


def real_decision(forming: Forming) -> Genesis | None:
    """What the node would store now, by the real rules."""
    verdict = forming.verdict()
    return verdict.genesis if isinstance(verdict, Formed) else None


@dataclass(frozen=True)
class Rules:
    """What the nodes go by. Some tests break a rule on purpose, to see that it is needed."""

    decision: Callable[[Forming], Genesis | None] = real_decision
    binds: bool = True
    """Whether a node that has decided goes on proposing what it decided."""
    form_with_quorum: bool = False
    names_initial_leader: bool = False
    """Whether the first node names itself, in its first life only."""
    inherits: bool = False
    """Whether all begin with Raft states, and the first, in its first life only, with the best."""
    delays: bool = False
    """Whether an answer may be on its way while others go on."""


@functools.cache
def _facts(place: int, incarnation: int, *, names_itself: bool, inherits: bool) -> OwnFacts:
    member = a_member("abc"[place], incarnation)
    has_state = inherits and (place > 0 or incarnation == 0)
    raft_end = _raft_end(101 if place == 0 else 100) if has_state else None
    return facts(
        member, initial_leader=member.server_id if names_itself else None, raft_end=raft_end
    )


def _raft_end(height: int) -> RaftEnd:
    """Of a log that ends with the block of that height."""
    block = a_block(height)
    return RaftEnd(3, height, Head(block, block.block_hash))


class Explorer:
    """Walks through the states that the rules allow."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._greeting = functools.cache(self._make_greeting)
        self._decision = functools.cache(self._make_decision)

    def reachable(self, start: State) -> Iterator[State]:
        """Every state that can be reached, the nearest first."""
        seen, frontier = {start}, [start]
        while frontier:
            yield from frontier
            later = [after for state in frontier for after in self._successors(state)]
            frontier = [state for state in dict.fromkeys(later) if state not in seen]
            seen.update(frontier)

    def settled(self, state: State) -> State:
        """Where a state ends when nothing fails any more and everyone goes on asking."""
        before = None
        while state != before:
            before = state
            for asker in range(COUNT):
                for asked in range(COUNT):
                    state = next(self._exchanges(state, asker, asked), state)
                state = next(self._own_steps(state, asker), state)
        return state

    def _successors(self, state: State) -> Iterator[State]:
        for place, node in enumerate(state.nodes):
            yield from self._own_steps(state, place)
            for other in range(COUNT):
                yield from self._exchanges(state, place, other)
            if state.crashes:
                fresh = NodeState(node.incarnation, node.stored)
                rest = dataclasses.replace(state, crashes=state.crashes - 1)
                yield rest.restarted(place, fresh)
            if state.wipes and place == 0:  # the nodes differ in nothing but their names
                rest = dataclasses.replace(state, wipes=state.wipes - 1)
                yield rest.restarted(place, NodeState(node.incarnation + 1))

    def _own_steps(self, state: State, place: int) -> Iterator[State]:
        """Deciding, and storing what was decided."""
        node = state.nodes[place]
        if node.stored is not None:
            return
        if node.decided is not None:
            yield state.with_node(place, dataclasses.replace(node, stored=node.decided))
        elif decision := self._decision(place, node):
            yield state.with_node(place, dataclasses.replace(node, decided=decision))

    def _exchanges(self, state: State, asker: int, asked: int) -> Iterator[State]:
        """One node asks another, hears its answer, or finds it unreachable."""
        node = state.nodes[asker]
        has_decided = node.decided is not None and self._rules.binds
        if asker == asked or node.stored or has_decided:
            return
        call = asker * COUNT + asked
        answer = state.answers[call]
        without = dataclasses.replace(state, answers=_replaced(state.answers, call, None))
        greeting = answer or self._greeting(asked, state.nodes[asked])
        if greeting != node.heard[asked]:
            if answer or not self._rules.delays:
                yield without.with_node(asker, _after(node, asked, greeting))
            else:
                answers = _replaced(state.answers, call, greeting)
                yield dataclasses.replace(state, answers=answers)
        if state.losses and not node.lost[asked]:
            rest = dataclasses.replace(without, losses=state.losses - 1)
            yield rest.with_node(asker, _after(node, asked, None))

    def _make_greeting(self, place: int, node: NodeState) -> Greeting:
        return self._forming(place, node).greeting(paused=False)

    def _make_decision(self, place: int, node: NodeState) -> Genesis | None:
        return self._rules.decision(self._forming(place, node))

    def _forming(self, place: int, node: NodeState) -> Forming:
        names_itself = self._rules.names_initial_leader and place == node.incarnation == 0
        own = _facts(
            place, node.incarnation, names_itself=names_itself, inherits=self._rules.inherits
        )
        by_word = self._rules.form_with_quorum
        forming = Forming(own, form_with_quorum=by_word, genesis=node.stored)
        for asked, address in enumerate(ADDRESSES):
            if node.ever_heard[asked]:
                forming.heard(address, self._greeting(asked, NodeState()))
            if node.lost[asked]:
                forming.unreachable(address, "connection refused")
            if last := node.heard[asked]:
                forming.heard(address, last)
        if node.decided is not None and self._rules.binds:
            forming.verdict()
        return forming


def _after(node: NodeState, asked: int, greeting: Greeting | None) -> NodeState:
    """The node after a call that was answered, or was not."""
    ever_heard = node.ever_heard[asked] or greeting is not None
    return dataclasses.replace(
        node,
        heard=_replaced(node.heard, asked, greeting),
        lost=_replaced(node.lost, asked, greeting is None),
        ever_heard=_replaced(node.ever_heard, asked, ever_heard),
    )


def _replaced(items: tuple[T, ...], place: int, item: T) -> tuple[T, ...]:
    return (*items[:place], item, *items[place + 1 :])
