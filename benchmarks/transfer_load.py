"""A client that commits one chain of payloads to whoever leads, and notes every answer.

Invariant: a payload is certified before its child is offered, and the same bytes are offered until
then, to one conductor after the other. What the client waits for is the conductors alone: each
payload is built before it is due.
"""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

from benchmarks.cluster import Chain
from conductor.devnet.journal import Record
from conductor.devnet.payloads import Block
from conductor.devnet.processes import NodePlan
from conductor.errors import ConductorError, Unavailable

RETRY_S = 0.002
"""Between two rounds of asking who leads: what a gap is too long by, at most."""

REQUEST_TIMEOUT_S = 3.0
GIVE_UP_S = 30.0
SUCCESS = "success"
REFUSED = "refused"
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Given:
    """One answer to one offer of a payload."""

    server_id: str
    outcome: str
    """`success`, `refused` or `unknown`."""
    code: str
    """Of the error; empty for a success."""


@dataclass(slots=True)
class Sent:
    """A payload, and what was said of it."""

    height: int
    block_hash: str
    parent_hash: str
    payload_hash: str
    answers: list[Given] = field(default_factory=list)
    certified_s: float = 0.0
    """When the success was read, of `time.perf_counter`."""

    @property
    def record(self) -> Record:
        """The line of a journal: it was certified, and a sequencer would gossip it."""
        return Record(
            event="gossip",
            node=self.answers[-1].server_id,
            height=self.height,
            block_hash=self.block_hash,
            parent_hash=self.parent_hash,
            payload_hash=self.payload_hash,
            at_ms=int(self.certified_s * 1000),
        )


class Load:
    """Commits a payload at each interval, in a thread of its own, until the context is left."""

    def __init__(
        self, plans: Sequence[NodePlan], leader: NodePlan, *, payload_bytes: int, interval_s: float
    ) -> None:
        self._plans = {plan.server_id: plan for plan in plans}
        self._connections = {plan.server_id: _Connection(plan) for plan in plans}
        self._leader_id = leader.server_id
        self._payload_bytes = payload_bytes
        self._interval_s = interval_s
        self._chain = Chain()
        self._is_over = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="load")
        self._error: Exception | None = None
        self.certified: list[Sent] = []
        """Every payload that was answered with success, oldest first."""

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    @property
    def leader(self) -> NodePlan:
        """Who answered the newest commit."""
        return self._plans[self._leader_id]

    def wait_for(self, count: int) -> None:
        """Wait until so many payloads are certified. Unavailable: that does not happen."""
        with self._changed:
            is_so = self._changed.wait_for(
                lambda: self._error is not None or len(self.certified) >= count, GIVE_UP_S
            )
        if self._error is not None:
            raise self._error
        if not is_so:
            raise Unavailable(f"fewer than {count} payloads certified, {GIVE_UP_S:g} s later")

    def _run(self) -> None:
        try:
            self._commit_all()
        except (ConductorError, OSError, http.client.HTTPException) as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()
        finally:
            for connection in self._connections.values():
                connection.close()

    def _commit_all(self) -> None:
        due_s = time.perf_counter()
        while not self._is_over.is_set():
            block = self._chain.build(self._payload_bytes)
            body = b'{"payload":%b}' % block.envelope_json
            time.sleep(max(0.0, due_s - time.perf_counter()))
            sent = _sent(block)
            self._certify(sent, body)
            with self._changed:
                self.certified.append(sent)
                self._changed.notify_all()
            # What comes late does not make the payloads after it come faster.
            due_s = max(due_s + self._interval_s, time.perf_counter())

    def _certify(self, sent: Sent, body: bytes) -> None:
        deadline_s = time.perf_counter() + GIVE_UP_S
        while True:
            given = self._connections[self._leader_id].commit(body)
            sent.answers.append(given)
            if given.outcome == SUCCESS:
                sent.certified_s = time.perf_counter()
                return
            self._leader_id = self._find_leader(deadline_s, given)

    def _find_leader(self, deadline_s: float, last: Given) -> str:
        """The first that says that it leads; those that did not just refuse are asked first."""
        others = [server_id for server_id in self._plans if server_id != last.server_id]
        for server_id in itertools.cycle([*others, last.server_id]):
            if self._connections[server_id].leads():
                return server_id
            if time.perf_counter() > deadline_s:
                raise Unavailable(f"nobody leads, {GIVE_UP_S:g} s after {last}")
            if server_id == last.server_id:
                time.sleep(RETRY_S)
        raise Unavailable("there are no conductors")


class _Connection:
    """One connection to the gateway of one conductor, kept open between requests."""

    def __init__(self, plan: NodePlan) -> None:
        self._server_id = plan.server_id
        gateway = plan.gateway
        self._connection = http.client.HTTPConnection(gateway.host, gateway.port, REQUEST_TIMEOUT_S)

    def commit(self, body: bytes) -> Given:
        """Offer a payload once. Without an answer the outcome is unknown."""
        answer = self._ask("POST", "/commit", body)
        outcome = SUCCESS if answer.get("success") else str(answer.get("outcome", UNKNOWN))
        return Given(self._server_id, outcome, str(answer.get("code", "")))

    def leads(self) -> bool:
        """Whether it says that it leads."""
        return self._ask("GET", "/leader", None).get("is_leader") is True

    def _ask(self, verb: str, path: str, body: bytes | None) -> dict[str, object]:
        try:
            self._connection.request(verb, path, body, {"Content-Type": "application/json"})
            answer: dict[str, object] = json.loads(self._connection.getresponse().read())
        except (OSError, http.client.HTTPException):
            self.close()
            return {}
        return answer

    def close(self) -> None:
        """Hang up; the next request opens the connection anew."""
        self._connection.close()


def _sent(block: Block) -> Sent:
    return Sent(
        height=block.head.height,
        block_hash=block.head.block_hash.hex(),
        parent_hash=block.parent_hash.hex(),
        payload_hash=block.payload_hash.hex(),
    )
