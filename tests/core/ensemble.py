"""Several machines with a network, one time, and disks that finish as soon as they are let.

No randomness and no faults of its own: a test cuts links, stops processes and disks by name. What
happens by chance is the simulator's business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from conductor.core.effects import Effects
from conductor.core.events import DeadlineReached, Event
from conductor.core.messages import Message
from conductor.core.node import Settings
from conductor.core.quorum import MAJORITY
from tests.core.builders import NAMES, a_block, a_genesis
from tests.core.subject import Kind, Subject, merged, noticed


class Ensemble:
    """A formed cluster of the first `count` nodes."""

    def __init__(
        self, count: int = 3, *, rule: int = MAJORITY, settings: Settings | None = None
    ) -> None:
        genesis = a_genesis(count, rule)
        self.nodes = {
            name: Subject(name, genesis=genesis, settings=settings) for name in NAMES[:count]
        }
        self.cuts: set[tuple[str, str]] = set()
        """Links on which everything is lost: from, to."""
        self.delayed: set[tuple[str, str]] = set()
        """Links on which everything waits."""
        self.stopped: set[str] = set()
        """Processes that stand still; what is for them waits."""
        self.stuck_disks: set[str] = set()
        self.now_ms = next(iter(self.nodes.values())).now_ms
        self._on_the_way: deque[tuple[str, str, Message]] = deque()
        self._waiting: list[tuple[str, str, Message]] = []

    # What a test does

    def take(self, name: str, event: Event) -> Effects:
        """Let a node take an event, and nothing else happen."""
        return self._sent(name, self.nodes[name].take(event))

    def designate(self, name: str, at: Iterable[str] | None = None) -> None:
        """The managers of these nodes, of all if none are given, name a server."""
        for node in self.nodes if at is None else at:
            if node not in self.stopped:
                self._sent(node, self.nodes[node].designate(name))

    def submit(self, name: str, height: int, branch: str = "") -> None:
        """The sequencer of a node brings a block; its height names the request."""
        self._sent(name, self.nodes[name].submit(a_block(height, branch), height))

    def isolate(self, *names: str) -> None:
        """Cut these off from the others, both ways; nobody else is cut off."""
        self.cuts = {
            (one, other)
            for one in self.nodes
            for other in self.nodes
            if (one in names) != (other in names)
        }

    def do_one_thing(self) -> bool:
        """Deliver one message, or let the disks finish; whether there was anything to do."""
        return self._deliver_one() or self._finish_writes()

    def settle(self) -> None:
        """Deliver everything and finish every write; no time passes."""
        while self.do_one_thing():
            pass

    def settle_until(self, is_so: Callable[[], bool]) -> None:
        """Deliver and finish no more than it takes for something to be so."""
        while not is_so():
            assert self.do_one_thing(), "it never comes to that"

    def run(self, duration_ms: int) -> None:
        """Let time pass; every node is looked at when it wants to be."""
        end_ms = self.now_ms + duration_ms
        self.settle()
        while (due_ms := self._next_deadline_ms()) <= end_ms:
            self._set_time(max(due_ms, self.now_ms))
            for name, node in self.nodes.items():
                is_due = node.machine.next_deadline_ms() <= self.now_ms
                if is_due and name not in self.stopped:
                    self._sent(name, node.take(DeadlineReached()))
            self.settle()
        self._set_time(end_ms)

    def resume(self, name: str) -> None:
        """A stopped process goes on."""
        self.stopped.discard(name)
        self._release()

    def undelay(self) -> None:
        """What waited on slow links arrives."""
        self.delayed.clear()
        self._release()

    # What a test looks at

    @property
    def leaders(self) -> list[str]:
        """Who says that it leads."""
        return [name for name, node in self.nodes.items() if node.machine.is_established]

    def noticed(self, name: str, kind: type[Kind]) -> list[Kind]:
        """A node's notices of a kind, from the beginning."""
        return noticed(merged(self.nodes[name].history), kind)

    # The inside

    def _sent(self, name: str, effects: Effects) -> Effects:
        for send in effects.sends:
            if send.to != name:
                self._on_the_way.append((name, send.to, send.message))
        return effects

    def _deliver_one(self) -> bool:
        if not self._on_the_way:
            return False
        sender, to, message = self._on_the_way.popleft()
        if (sender, to) in self.delayed or to in self.stopped:
            self._waiting.append((sender, to, message))
        elif (sender, to) not in self.cuts:
            self._sent(to, self.nodes[to].hear(sender, message))
        return True

    def _finish_writes(self) -> bool:
        busy = [
            name
            for name, node in self.nodes.items()
            if node.pending and name not in self.stuck_disks | self.stopped
        ]
        for name in busy:
            self._sent(name, self.nodes[name].sync())
        return bool(busy)

    def _release(self) -> None:
        released, self._waiting = self._waiting, []
        self._on_the_way.extend(released)

    def _next_deadline_ms(self) -> int:
        running = [node for name, node in self.nodes.items() if name not in self.stopped]
        return min(node.machine.next_deadline_ms() for node in running)

    def _set_time(self, now_ms: int) -> None:
        self.now_ms = now_ms
        for node in self.nodes.values():
            node.now_ms = now_ms


def led_by(name: str, count: int = 3, settings: Settings | None = None) -> Ensemble:
    """A cluster in which that node is established."""
    ensemble = Ensemble(count, settings=settings)
    ensemble.designate(name)
    ensemble.settle()
    assert ensemble.leaders == [name]
    return ensemble
