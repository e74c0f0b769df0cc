"""How a node comes to be in a cluster, and whom it takes for a member of it ever after.

Invariant: a genesis is durable before anything is done that rests on it, and while it is being
stored nobody closes the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import structlog

from conductor.config import Config
from conductor.core.forming import Formed, Forming
from conductor.core.greeting import Greeting
from conductor.core.pinning import check_greeting
from conductor.core.values import Genesis
from conductor.errors import ConductorError, PeerRejected, StoreMismatch
from conductor.ports import Store, StoredState

logger = structlog.get_logger(__name__)


class Formation:
    """The greetings of the peers, until there is a genesis and after that."""

    def __init__(
        self,
        config: Config,
        forming: Forming,
        state: StoredState,
        store: Store,
        *,
        spawn: Callable[[Coroutine[Any, Any, None], str], None],
        on_formed: Callable[[StoredState], None],
        on_fatal: Callable[[ConductorError], None],
    ) -> None:
        """`on_formed` is called once the genesis is durable, unless that was so from the start."""
        self._config = config
        self._store = store
        self._spawn = spawn
        self._on_formed = on_formed
        self._on_fatal = on_fatal
        self._genesis = state.genesis
        self._strangers: dict[str, str] = {}
        self._is_begun = False
        self._is_storing = False
        self._is_stopped = False
        self._store_in_use = asyncio.Lock()
        self.forming = forming
        """What has been heard so far, and what follows from it."""

    @property
    def genesis(self) -> Genesis | None:
        """What the cluster was formed with; None before that."""
        return self._genesis

    @property
    def strangers(self) -> Iterable[str]:
        """What speaks against whoever answers at a member's address, in sentences."""
        return self._strangers.values()

    def begin(self) -> None:
        """From now on the cluster may form."""
        self._is_begun = True
        self._consider()

    def stop(self) -> None:
        """Form nothing any more."""
        self._is_stopped = True

    async def finish(self) -> None:
        """After `stop`: wait until this does not use the store any more."""
        async with self._store_in_use:
            pass

    # Callbacks of the peers

    def heard(self, address: str, greeting: Greeting) -> None:
        """The node at that address answered our greeting."""
        if self._genesis is None:
            self.forming.heard(address, greeting)
            self._consider()
            return
        try:
            check_greeting(self._genesis, greeting)
        except PeerRejected as rejection:
            self._strangers[address] = f"{address} does not fit this cluster: {rejection}"
        else:
            self._strangers.pop(address, None)

    def greeted_by(self, greeting: Greeting) -> None:
        """Another node greets us. PeerRejected: it does not fit the cluster that has formed.

        A voter in another incarnation is answered: from the genesis it learns that its store is
        new where an old one should be (rule 5.8).
        """
        genesis, member = self._genesis, greeting.member
        if genesis is None:
            return
        pinned = genesis.membership.member(member.server_id)
        if pinned is None or pinned.incarnation == member.incarnation:
            check_greeting(genesis, greeting)

    def unreachable(self, address: str, why: str) -> None:
        """The node at that address did not answer."""
        if self._genesis is None:
            self.forming.unreachable(address, why)
            self._consider()

    # Forming

    def _consider(self) -> None:
        if self._genesis is not None or self._is_storing or not self._is_begun:
            return
        verdict = self.forming.verdict()
        if not isinstance(verdict, Formed):
            self._refuse_a_new_store()
        else:
            self._is_storing = True
            self._spawn(self._store_genesis(verdict.genesis), "store genesis")

    def _refuse_a_new_store(self) -> None:
        """Stop rather than run on an empty disk where the cluster knows another (rule 5.8)."""
        witness = self.forming.remembered_in_another_life()
        if witness and not self._config.new_incarnation:
            self._on_fatal(
                StoreMismatch(
                    f"the store in {self._config.data_dir} is new, but {witness} knows "
                    f"'{self._config.server_id}' with another one: name the --data-dir of the old "
                    "store, or say with --new-incarnation that it is gone; the server then counts "
                    "for nothing until an operator restores it"
                )
            )

    async def _store_genesis(self, genesis: Genesis) -> None:
        """Make the genesis durable, and only then live by it."""
        async with self._store_in_use:
            if self._is_stopped:
                return
            await asyncio.to_thread(self._store.set_genesis, genesis)
            state = await asyncio.to_thread(self._store.load)
        if self._is_stopped:
            return
        self._genesis = genesis
        self.forming.stored()
        logger.info(
            "cluster_formed",
            cluster_id=genesis.cluster_id.hex(),
            voters=[voter.server_id for voter in genesis.voters],
            initial_leader=genesis.initial_leader,
            head_height=genesis.head.block.height if genesis.head is not None else None,
        )
        self._on_formed(state)
