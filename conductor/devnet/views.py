"""What a devnet is told to do, and what it shows meanwhile: plain values between the parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What to run."""

    directory: Path
    """Takes the stores, the logs and the journal; exists and is empty."""
    nodes: int = 3
    payloads: int = 50
    """So many are gossiped before the end."""
    block_time_ms: int = 200
    payload_bytes: int = 20_000
    """The transactions of one payload together."""
    rounds: int = 1
    """How many times a node is killed: first the leader, then any."""
    seed: int = 1
    """Of the blocks' contents and of who is killed."""
    forever: bool = False
    """Kill nobody and go on until interrupted; nodes that die are started again."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of the story."""

    at_ms: int
    """Since the devnet began."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """One node as it looks now."""

    server_id: str
    role: str
    """leader or follower by its own word; else no answer, killed or stopped."""
    epoch: int | None
    """None without an answer, as the next two."""
    serving: bool | None
    certified_height: int | None
    lag: int | None
    """How many gossiped payloads it does not know to be certified."""
    sequencer: str
    process: str
    gateway: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything at one moment."""

    at_ms: int
    gossiped_count: int
    payloads: int | None
    """How many there are to be; None without an end."""
    rows: tuple[NodeRow, ...]
    happenings: tuple[Happening, ...]


class Screen(Protocol):
    """Where the story is shown."""

    def happened(self, happening: Happening) -> None:
        """Something worth a line."""
        ...

    def show(self, snapshot: Snapshot) -> None:
        """The state has been looked at again."""
        ...
