"""What a checker may look at, and who calls it when.

Invariant: a checker only watches. It believes what left a node (messages, notices, writes) and
what its disk holds; it never asks the core whether the core is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from conductor.core.effects import Effects, Notice, Operation, Send
from conductor.core.events import Event
from conductor.errors import InvariantViolation
from conductor.simulation.node import SimulatedNode


class Checker:
    """Overrides what it wants to see. A method that is not overridden costs nothing."""

    def on_boot(self, node: SimulatedNode) -> None:
        """A node has started, from its disk."""

    def on_event(self, node: SimulatedNode, event: Event) -> None:
        """A node is about to take an event."""

    def on_operation(self, node: SimulatedNode, operation: Operation) -> None:
        """A node has queued this for its disk."""

    def on_send(self, node: SimulatedNode, send: Send) -> None:
        """A node says something, now; its disk is as it is at this moment."""

    def on_notice(self, node: SimulatedNode, notice: Notice) -> None:
        """A node tells its own callers something."""

    def on_step(self, node: SimulatedNode) -> None:
        """A step has been made."""

    def on_applied(self, node: SimulatedNode, operation: Operation) -> None:
        """This has become durable."""

    def at_end(self, nodes: Sequence[SimulatedNode]) -> None:
        """The schedule is over and everything has come to rest."""


def fail(promise: str, what: str) -> NoReturn:
    """A promise is broken."""
    raise InvariantViolation(f"{promise}: {what}")


class Checkers:
    """Calls every checker that wants to know, in their order."""

    def __init__(self, checkers: Iterable[Checker]) -> None:
        self.all = tuple(checkers)
        self._events = self._wanting("on_event")
        self._operations = self._wanting("on_operation")
        self._sends = self._wanting("on_send")
        self._notices = self._wanting("on_notice")
        self._steps = self._wanting("on_step")
        self._applied = self._wanting("on_applied")

    def _wanting(self, name: str) -> list[Callable[..., Any]]:
        return [
            getattr(checker, name)
            for checker in self.all
            if getattr(type(checker), name) is not getattr(Checker, name)
        ]

    def booted(self, node: SimulatedNode) -> None:
        """A node has started."""
        for checker in self.all:
            checker.on_boot(node)

    def takes(self, node: SimulatedNode, event: Event) -> None:
        """A node is about to take an event."""
        for look in self._events:
            look(node, event)

    def stepped(self, node: SimulatedNode, effects: Effects) -> None:
        """A node has made a step that wants these effects."""
        for write in effects.writes:
            for operation in write.operations:
                for look in self._operations:
                    look(node, operation)
        for send in effects.sends:
            for look in self._sends:
                look(node, send)
        for notice in effects.notices:
            for look in self._notices:
                look(node, notice)
        for look in self._steps:
            look(node)

    def applied(self, node: SimulatedNode, operation: Operation) -> None:
        """An operation has become durable."""
        for look in self._applied:
            look(node, operation)

    def finished(self, nodes: Sequence[SimulatedNode]) -> None:
        """The schedule is over."""
        for checker in self.all:
            checker.at_end(nodes)
