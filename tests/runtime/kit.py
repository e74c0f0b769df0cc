"""Stand-ins for what surrounds the runtime: a store that is held up, a transport that records."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence

from conductor.core.effects import Write
from conductor.core.messages import Message
from conductor.core.values import Genesis, Incarnation, Index, Member, MemberKey, ServerId
from conductor.identity import Ed25519Signer, development_signer
from conductor.ports import Bodies
from conductor.store import MemoryStore

NAMES = ("a", "b", "c")
DEADLINE_SECONDS = 10.0


def signer_of(name: str) -> Ed25519Signer:
    """The key of a node."""
    return development_signer(NAMES.index(name))


def member_of(name: str) -> Member:
    """A node, with its real key."""
    return Member(
        ServerId(name),
        Incarnation(name * 8),
        signer_of(name).public_key,
        f"{name}:18080",
        f"{name}:8080",
    )


def genesis_of(count: int) -> Genesis:
    """A cluster of the first `count` nodes."""
    return Genesis("test", 0, tuple(member_of(name) for name in NAMES[:count]))


def formed_store(count: int, name: str = "a") -> SlowStore:
    """The store of a node of a cluster that has just formed."""
    store = SlowStore(member_of(name).key)
    store.set_genesis(genesis_of(count))
    return store


def hash_of(body: bytes) -> bytes:
    """How bodies are named."""
    return hashlib.sha256(body).digest()


class SlowStore(MemoryStore):
    """A store whose writes wait until they are let through, and can be made to fail."""

    def __init__(self, key: MemberKey) -> None:
        super().__init__(key)
        self.open = threading.Event()
        self.open.set()
        self.waiting = threading.Event()
        self.failures: list[Exception] = []
        self.groups: list[tuple[int, ...]] = []

    def apply(self, writes: Sequence[Write], bodies: Bodies) -> None:
        """As the real one, once the gate is open."""
        self.waiting.set()
        if not self.open.wait(DEADLINE_SECONDS):
            raise TimeoutError("the gate was never opened")
        if self.failures:
            raise self.failures.pop(0)
        super().apply(writes, bodies)
        self.groups.append(tuple(write.sequence for write in writes))


class RecordingTransport:
    """Remembers what was sent, and to whom."""

    def __init__(self) -> None:
        self.sent: list[tuple[ServerId, Message, Bodies, int]] = []

    def send(self, to: ServerId, message: Message, bodies: Bodies, reply_to: int) -> None:
        """Take a message."""
        self.sent.append((to, message, bodies, reply_to))

    def to(self, name: str) -> list[Message]:
        """The messages to one member, in order."""
        return [message for to, message, _, _ in self.sent if to == name]


class ManualClock:
    """Time that a test moves by hand."""

    def __init__(self) -> None:
        self.time_ms = 1000

    def now_ms(self) -> int:
        """The time that was set."""
        return self.time_ms


def index_of(number: int) -> Index:
    """A position in the log."""
    return Index(number)
