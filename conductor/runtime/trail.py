"""The trail of each entry on this node, at debug level: proposed or received, acknowledged,
certified.

Invariant: the lines of one payload carry the same `block`, `height`, `index` and `epoch` on every
node, so that it can be followed through the cluster. Nothing of a payload's body is ever written.
While nobody wants the lines, they cost one comparison a step.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import structlog

from conductor.core.effects import (
    AppendEntries,
    CertifiedRaised,
    Effects,
    InstallWindow,
    Operation,
    Truncate,
)
from conductor.core.machine import Machine
from conductor.core.messages import Acknowledged
from conductor.core.values import BlockReference, Entry, Index

logger = structlog.get_logger(__name__)

SHOWN_HASH_BYTES = 4


def _shown(block: BlockReference) -> str:
    """As much of a block's hash as finds it in a log."""
    return "0x" + block.block_hash[:SHOWN_HASH_BYTES].hex()


class Trail:
    """Looks over the effects of each step of one machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._is_wanted = bool(logger.is_enabled_for(logging.DEBUG))
        self._acknowledged = machine.node.log.last.index
        self._certified = machine.node.log.certified.index

    def submitted(self, block: BlockReference, size_bytes: int) -> None:
        """A caller wants that payload to be certified."""
        if self._is_wanted:
            leadership = self._machine.leadership
            logger.debug(
                "commit_received",
                block=_shown(block),
                height=block.height,
                epoch=leadership.epoch if leadership else 0,
                size_bytes=size_bytes,
            )

    def note(self, effects: Effects) -> None:
        """A step has these effects."""
        if not self._is_wanted:
            return
        for write in effects.writes:
            for operation in write.operations:
                self._note_operation(operation)
        for send in effects.sends:
            if isinstance(send.message, Acknowledged):
                self._note_acknowledged(send.message.acknowledgement.index, send.to)
        for notice in effects.notices:
            if isinstance(notice, CertifiedRaised):
                self._note_certified(notice.position.index)

    def _note_operation(self, operation: Operation) -> None:
        if isinstance(operation, Truncate):
            self._acknowledged = min(self._acknowledged, operation.after)
        elif isinstance(operation, AppendEntries | InstallWindow):
            leadership = self._machine.leadership
            for entry in operation.entries:
                if leadership is not None and entry.epoch == leadership.epoch:
                    logger.debug("entry_proposed", **_key(entry))
                else:
                    logger.debug("entry_received", **_key(entry))

    def _note_acknowledged(self, index: Index, leader_id: str) -> None:
        for entry in self._between(self._acknowledged, index):
            logger.debug("entry_acknowledged", **_key(entry), leader_id=leader_id)
        self._acknowledged = max(self._acknowledged, index)

    def _note_certified(self, index: Index) -> None:
        for entry in self._between(self._certified, index):
            logger.debug("entry_certified", **_key(entry))
        self._certified = max(self._certified, index)

    def _between(self, after: Index, last: Index) -> Iterator[Entry]:
        """The entries held there: none below the base of the log."""
        log = self._machine.node.log
        for index in range(max(after, log.base.position.index) + 1, last + 1):
            entry = log.entry(Index(index))
            if entry is not None:
                yield entry


def _key(entry: Entry) -> dict[str, object]:
    """By what an entry is found on every node."""
    if entry.block is None:
        return {"kind": entry.kind.name.lower(), "index": entry.index, "epoch": entry.epoch}
    return {
        "kind": entry.kind.name.lower(),
        "block": _shown(entry.block),
        "height": entry.block.height,
        "index": entry.index,
        "epoch": entry.epoch,
    }
