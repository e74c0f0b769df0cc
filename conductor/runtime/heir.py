"""Brings the block that a cluster goes on from into its log, where that block is at hand.

Invariant: it goes the way of every payload, so it is judged, replicated and certified like any; and
nothing waits for it: op-node may bring the block or its child as well, and then this is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from conductor.core.values import Head
from conductor.errors import OutcomeUnknown, Refused, Unavailable
from conductor.ports import Store, StoredState
from conductor.runtime.member import RunningMember

logger = structlog.get_logger(__name__)


class Heir:
    """Submits the head of the genesis while this node leads an empty log."""

    def __init__(
        self,
        member: RunningMember,
        state: StoredState,
        store: Store,
        spawn: Callable[[Coroutine[Any, Any, None], str], None],
    ) -> None:
        self._member = member
        self._store = store
        self._spawn = spawn
        self._head = state.genesis.head if state.genesis is not None else None
        raft_end = state.founding.raft_end if state.founding is not None else None
        self._holds_it = raft_end is not None and raft_end.head == self._head
        self._is_submitting = False
        self._told_epoch = 0

    def consider(self) -> None:
        """Look, at each beat, whether the log lacks a block that is at hand."""
        machine = self._member.machine
        if self._head is None or self._is_submitting or not machine.is_established:
            return
        if machine.node.log.last_payload is not None:
            self._head = None  # From now on there is always one.
        elif self._holds_it:
            self._is_submitting = True
            self._spawn(self._submit(self._head), "submit the head")
        elif machine.node.promise.epoch != self._told_epoch:
            self._told_epoch = machine.node.promise.epoch
            block = self._head.block
            logger.warning(
                "head_awaited", height=block.height, block_hash="0x" + block.block_hash.hex()
            )

    async def _submit(self, head: Head) -> None:
        """Once; what comes to nothing is tried again at a later beat."""
        try:
            body = await asyncio.to_thread(self._store.read_head)
            receipt = await self._member.commit(body)
        except (Refused, OutcomeUnknown, Unavailable) as error:
            logger.info("head_not_certified", height=head.block.height, reason=str(error))
        else:
            logger.info(
                "head_certified", height=receipt.height, epoch=receipt.epoch, index=receipt.index
            )
        finally:
            self._is_submitting = False
