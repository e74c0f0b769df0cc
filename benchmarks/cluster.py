"""Conductors as processes, and the client that the benchmarks are to them.

Invariant: no process outlives the `with` block of its cluster. The client blocks and does nothing
but HTTP, so that as little as possible of what it measures is its own work.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from conductor.cli.client import GET_STATUS, Conductors
from conductor.cli.status_report import Report, State, make_report
from conductor.devnet.payloads import GENESIS, Block, BlockBuilder
from conductor.devnet.processes import NodePlan, node_command, node_environment, plan_nodes
from conductor.errors import RequestError, Unavailable

SETTLE_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0

_POLL_S = 0.1
_STATUS_TIMEOUT_MS = 1000
_LOG_TAIL_LINES = 12


class Chain:
    """Blocks, each a child of the one before."""

    def __init__(self) -> None:
        self._head = GENESIS
        self._builders: dict[int, BlockBuilder] = {}

    def build(self, transactions_bytes: int) -> Block:
        """The next block, with so many bytes of random transactions."""
        builder = self._builders.setdefault(
            transactions_bytes,
            BlockBuilder(seed=1, builder="benchmark", transactions_bytes=transactions_bytes),
        )
        block = builder.build(self._head)
        self._head = block.head
        return block


class Client:
    """One connection to the gateway of one conductor, kept open between requests."""

    def __init__(self, plan: NodePlan, timeout_s: float = 30.0) -> None:
        gateway = plan.gateway
        self._connection = http.client.HTTPConnection(gateway.host, gateway.port, timeout_s)

    def post(self, path: str, body: bytes, content_type: str) -> bytes:
        """The body of an answer with status 200.

        RequestError: another status. OSError or HTTPException: no answer; the next request opens
        the connection anew.
        """
        try:
            self._connection.request("POST", path, body, {"Content-Type": content_type})
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        if response.status != http.client.OK:
            raise RequestError(f"{path}: HTTP {response.status}: {answer[:200].decode()}")
        return answer

    def commit_ssz(self, ssz: bytes) -> None:
        """Certify a payload through the binary path."""
        self.post("/commit-unsafe-payload", ssz, "application/octet-stream")

    def commit_json(self, request: bytes) -> None:
        """Certify a payload with what `commit_request` made of it."""
        answer = self.post("/", request, "application/json")
        if b'"error"' in answer:
            raise RequestError(answer[:200].decode())

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def commit_request(envelope_json: bytes) -> bytes:
    """A JSON-RPC request as op-node makes it."""
    method = b"conductor_commitUnsafePayload"
    return b'{"jsonrpc":"2.0","id":1,"method":"%b","params":[%b]}' % (method, envelope_json)


class Cluster:
    """Three conductors with default settings, for as long as the context lasts."""

    def __init__(self, directory: Path, *, measured: bool = False, count: int = 3) -> None:
        """`measured`: they serve the path of `benchmarks.measured_node`, too."""
        self.plans = plan_nodes(count, directory)
        self._module = "benchmarks.measured_node" if measured else "conductor"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Cluster:
        try:
            for plan in self.plans:
                self.start(plan)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        """SIGTERM for all, and SIGKILL for those who do not heed it."""
        for process in self._processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, plan: NodePlan) -> None:
        """Begin a life of that node, on the disk of the one before."""
        _, _, _, *arguments = node_command(plan, self.plans, keep_all=False)
        with plan.log.open("ab") as log:
            self._processes[plan.server_id] = subprocess.Popen(
                [sys.executable, "-m", self._module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=node_environment(os.environ),
                start_new_session=True,  # a Ctrl-C is for the benchmark, which then stops them
            )

    def signal(self, plan: NodePlan, number: signal.Signals) -> None:
        """Send a signal to that node's process."""
        self._processes[plan.server_id].send_signal(number)
        if number is signal.SIGKILL:
            self._processes[plan.server_id].wait()

    def process_id(self, plan: NodePlan) -> int:
        """Of that node's newest life."""
        return self._processes[plan.server_id].pid

    def settle(self) -> NodePlan:
        """Wait until all nodes are serving, see each other serving, and have one log; the leader.

        Unavailable when that takes too long, or a node has ended by itself.
        """
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        servers = [plan.grpc for plan in self.plans]
        while True:
            with Conductors(_STATUS_TIMEOUT_MS) as conductors:
                answers = conductors.ask_each(GET_STATUS, servers)
            # Each answer judged alone: what only the leader has noticed is not settled yet.
            reports = [make_report([one]) for one in answers]
            views = [report.view for report in reports if report.view is not None]
            told = {(view.leader_id, view.last.index, view.certified.index) for view in views}
            if len(told) == 1 and all(report.state is State.HEALTHY for report in reports):
                ((leader_id, *_),) = told
                return next(plan for plan in self.plans if plan.server_id == leader_id)
            self._raise_deaths()
            if time.monotonic() > deadline:
                raise Unavailable(f"not settled in {SETTLE_TIMEOUT_S:g} s: {_problems(reports)}")
            time.sleep(_POLL_S)

    def _raise_deaths(self) -> None:
        for plan in self.plans:
            exit_code = self._processes[plan.server_id].poll()
            if exit_code is not None:
                lines = plan.log.read_text("utf-8", errors="replace").splitlines()
                tail = "\n".join(lines[-_LOG_TAIL_LINES:])
                raise Unavailable(f"{plan.server_id} ended with exit code {exit_code}:\n{tail}")


def _problems(reports: Sequence[Report]) -> str:
    return json.dumps([report.problems for report in reports], indent=2)
