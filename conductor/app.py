"""The composition root: builds one node from one configuration, runs it, takes it down again.

Invariant: everything that is started here is stopped here, in the reverse order, whatever happens;
no other module knows which adapters there are.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import resource
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

import grpc
import structlog
from aiohttp import web
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.reflection_pb2_grpc import add_ServerReflectionServicer_to_server

from conductor import __version__
from conductor.api import create_gateway, gateway_runner
from conductor.api import register as register_api
from conductor.api.metrics_page import Scrape
from conductor.config import Address, Config, config_warnings
from conductor.core.forming import Forming
from conductor.core.founding import Founding
from conductor.core.pinning import OwnFacts, check_restart
from conductor.core.values import Digest, Member, ServerId
from conductor.epochs import create_epoch_manager
from conductor.errors import ConfigError
from conductor.identity import Ed25519Signer, signer_for, verify_signature
from conductor.metrics import Instruments, Metrics, Sources, TimedStore
from conductor.observability import LogWriter, configure_logging
from conductor.peers import CheckedRequests, GrpcPeers, refuse_quietly, server_options
from conductor.ports import MemberObservation, Meters, PeerTransport, Store, StoredState
from conductor.runtime.allocator import keep_large_blocks
from conductor.runtime.checkpointer import Checkpointer
from conductor.runtime.driver import MonotonicClock
from conductor.runtime.ending import LastResort, Stop
from conductor.runtime.node import Node, NodePorts
from conductor.runtime.supervisor import Supervisor
from conductor.runtime.use_cases import UseCases
from conductor.store import SqliteStore, has_store, open_store
from conductor.store.sqlite import CHECKPOINT_BYTES

logger = structlog.get_logger(__name__)

GRACE_SECONDS = 1.0
SWITCH_INTERVAL_SECONDS = 0.0005
SERVICES = (
    "conductor.v1.AdminService",
    "conductor.v1.ConductorService",
    "conductor.v1.ReplicationService",
    "grpc.health.v1.Health",
)
"""What gRPC reflection names."""


def run_node(config: Config) -> int:
    """Run a node until SIGTERM or Ctrl-C; its exit code. Raises what stopped it, if it failed."""
    _tune_process()
    refuse_quietly()
    with configure_logging(config.log_level, config.log_format) as log_writer:
        last_resort = LastResort()
        try:
            asyncio.run(App(config, last_resort, log_writer).run())
        finally:
            last_resort.disarm()
    return 0


def _tune_process() -> None:
    """What the defaults of the platform get wrong for a node that waits for its disk all day."""
    keep_large_blocks()
    # A sync that has ended wants the interpreter now, not 5 ms from now.
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class PeerSurroundings:
    """The peers, as a node uses them (`runtime.node.Surroundings`)."""

    def __init__(self, peers: GrpcPeers) -> None:
        self._peers = peers

    @property
    def transport(self) -> PeerTransport:
        """Carries the protocol's messages."""
        return self._peers

    def join(self, members: Sequence[Member], cluster_id: Digest) -> None:
        """These are the members from now on."""
        self._peers.set_members(members, cluster_id)

    def observe(self, now_ms: int) -> tuple[MemberObservation, ...]:
        """What the probes say of the other members."""
        return self._peers.prober.observe(now_ms)

    def show(self, *, serving: bool, paused: bool) -> None:
        """What the health service answers from now on."""
        self._peers.health.set_serving(serving)
        self._peers.health.set_paused(paused)

    def suspend_judgement(self, until_ms: int) -> None:
        """This node itself was stalled: missed probes before then mean nothing."""
        self._peers.prober.suspend(until_ms)


class App:
    """One node as a process."""

    def __init__(self, config: Config, last_resort: LastResort, log_writer: LogWriter) -> None:
        self._config = config
        self._last_resort = last_resort
        self._log_writer = log_writer
        self._is_up = False

    async def run(self) -> None:
        """Start, wait for the end, stop. Raises what made the node fail."""
        stop = Stop(self._last_resort)
        try:
            async with AsyncExitStack() as stack:
                self._handle_signals(stop, stack)
                await self._start(stop, stack)
                gc.collect()
                gc.freeze()  # What lives from here on is for good: collecting it would only stall.
                await stop.wait()
        finally:
            if stop.error is not None:
                raise stop.error  # Also when the end failed, too: this came first.

    def _handle_signals(self, stop: Stop, stack: AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(stop.on_unhandled)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.want, number.name)
            stack.callback(loop.remove_signal_handler, number)

    async def _start(self, stop: Stop, stack: AsyncExitStack) -> None:
        config = self._config
        founding, head = await asyncio.to_thread(_founding, config)
        signer = signer_for(config)
        store = await asyncio.to_thread(
            open_store, config.data_dir, config.server_id, founding, head
        )
        stack.callback(store.close)
        state = await asyncio.to_thread(store.load)
        config = _settled(config, state)
        server = grpc.aio.server(options=server_options(config.limits))
        config = _with_ports(config, grpc_port=_bind_grpc(server, config.grpc_bind))
        own = _own_member(config, signer, state)
        checkpointer = _checkpointer(store, stop)
        stack.callback(checkpointer.stop)
        supervisor = Supervisor(stop.fail)
        stack.push_async_callback(supervisor.stop)
        instruments = Instruments()
        timed_store = TimedStore(store, instruments.wrote)
        node = _node(
            config, own, signer, timed_store, checkpointer, state, supervisor, stop, instruments
        )
        stack.push_async_callback(node.finish)
        peers = _peers(config, node, instruments)
        peers.register(server)
        conductor = UseCases(
            node, config.cluster_name, lambda: stop.want("API"), meters=instruments
        )
        register_api(server, conductor)
        reflector = reflection.aio.ReflectionServicer([*SERVICES, reflection.SERVICE_NAME])
        add_ServerReflectionServicer_to_server(  # type: ignore[no-untyped-call]  # no stubs
            reflector, CheckedRequests(server)
        )
        await server.start()
        stack.push_async_callback(server.stop, GRACE_SECONDS)
        metrics = self._metrics(instruments, conductor, node)
        stack.callback(metrics.close)
        await _serve_http(config, conductor, metrics.scrape, stack)
        await peers.start()
        stack.push_async_callback(peers.stop)
        stack.push_async_callback(node.stop)
        stack.push_async_callback(_drained, node, stop)
        await node.start(PeerSurroundings(peers))
        self._announce(config, own)
        self._is_up = True

    def _metrics(self, instruments: Instruments, conductor: UseCases, node: Node) -> Metrics:
        sources = Sources(
            status=conductor.status,
            is_up=lambda: self._is_up,
            log_lines_dropped=lambda: self._log_writer.dropped,
            messages_rejected=lambda: node.rejected_messages,
        )
        return Metrics(instruments, sources)

    def _announce(self, config: Config, own: Member) -> None:
        """Say once what runs here, and what an operator should know of it."""
        logger.info(
            "node_started",
            version=__version__,
            server_id=own.server_id,
            gateway=str(config.advertise),
            grpc=str(config.grpc_advertise),
            data_dir=str(config.data_dir.absolute()),
            identity=own.public_key.hex(),
            voters=list(config.voter_addresses),
        )
        for warning in config_warnings(config, len(config.voter_addresses)):
            logger.warning("configuration_doubtful", warning=warning)


async def _drained(node: Node, stop: Stop) -> None:
    """Give the leadership away before the end, unless the node ends because it failed."""
    if stop.error is None:
        await node.drain()


def _founding(config: Config) -> tuple[Founding | None, bytes]:
    """What a store that has to be made begins with, and the payload that it names."""
    if config.raft_state_dir is None:
        return None, b""
    if has_store(config.data_dir):
        logger.info(
            "raft_state_ignored",
            raft_state_dir=str(config.raft_state_dir),
            reason=f"the store in {config.data_dir} is there already, and only a new one is made "
            "from a Raft state",
        )
        return None, b""
    # Imported here and below because only nodes with a Raft state in their past need it.
    from conductor.migration import read_beginning

    beginning = read_beginning(config, config.raft_state_dir)
    founding, head = beginning.founding, beginning.head
    logger.info(
        "raft_state_read",
        raft_state_dir=str(config.raft_state_dir),
        voters=[voter.server_id for voter in founding.voters],
        first_promise=founding.first_promise,
        initial_leader=founding.initial_leader,
        head_height=head.block.height if head is not None else None,
    )
    for remark in beginning.remarks:
        logger.warning("raft_state_doubtful", remark=remark)
    return founding, beginning.payload


def _settled(config: Config, state: StoredState) -> Config:
    """The configuration of the node with this store: a Raft state may say who the voters are."""
    if config.raft_state_dir is None and state.founding is None:
        return config
    from conductor.migration.settling import settled

    return settled(config, state.founding)


def _bind_grpc(server: grpc.aio.Server, address: Address) -> int:
    """Bind the gRPC port; the port, which differs from the wanted one when that is 0."""
    try:
        port = server.add_insecure_port(str(address))
    except RuntimeError as error:
        raise ConfigError(
            f"cannot listen on --grpc-addr {address}: is the address on this machine by now, and "
            "does no other conductor use the port?"
        ) from error
    return port


def _with_ports(config: Config, *, grpc_port: int) -> Config:
    """The configuration with the ports that the system chose."""
    if config.grpc_advertise.port:
        return config
    address = dataclasses.replace(config.grpc_advertise, port=grpc_port)
    return dataclasses.replace(config, grpc_advertise=address)


def _own_member(config: Config, signer: Ed25519Signer, state: StoredState) -> Member:
    return Member(
        server_id=ServerId(config.server_id),
        incarnation=state.incarnation,
        public_key=signer.public_key,
        grpc_address=str(config.grpc_advertise),
        gateway_address=str(config.advertise),
    )


def _checkpointer(store: SqliteStore, stop: Stop) -> Checkpointer:
    loop = asyncio.get_running_loop()

    def fail(error: Exception) -> None:
        loop.call_soon_threadsafe(stop.fail, error)

    checkpointer = Checkpointer(store, CHECKPOINT_BYTES, fail)
    checkpointer.start()
    return checkpointer


def _node(
    config: Config,
    own: Member,
    signer: Ed25519Signer,
    store: Store,
    checkpointer: Checkpointer,
    state: StoredState,
    supervisor: Supervisor,
    stop: Stop,
    meters: Meters,
) -> Node:
    facts = OwnFacts(
        cluster_name=config.cluster_name,
        member=own,
        configured_voters=config.voter_addresses,
        quorum_rule=config.quorum_rule,
        version=__version__,
        initial_leader=state.founding.initial_leader if state.founding is not None else None,
        raft_end=state.founding.raft_end if state.founding is not None else None,
    )
    if state.genesis is not None:
        check_restart(state.genesis, facts)
    forming = Forming(
        facts,
        expected_ids={
            str(peer.grpc): ServerId(peer.server_id) for peer in config.peers if peer.server_id
        },
        form_with_quorum=config.form_with_quorum,
        genesis=state.genesis,
    )

    ports = NodePorts(
        store=store,
        signer=signer,
        verify=verify_signature,
        clock=MonotonicClock(),
        wall_ms=lambda: time.time_ns() // 1_000_000,
        epoch_manager=create_epoch_manager(config),
        spawn=supervisor.spawn,
        after_write=checkpointer.consider,
        on_fatal=stop.fail,
        meters=meters,
    )
    return Node(config, own, state, forming, ports)


def _peers(config: Config, node: Node, meters: Meters) -> GrpcPeers:
    return GrpcPeers(
        config,
        node.greeting,
        node,
        MonotonicClock(),
        on_greeting=node.formation.heard,
        on_greeted=node.formation.greeted_by,
        on_unreachable=node.formation.unreachable,
        on_health_change=node.hurry,
        meters=meters,
    )


async def _serve_http(
    config: Config, conductor: UseCases, scrape: Scrape, stack: AsyncExitStack
) -> None:
    """Serve the gateway until the stack unwinds."""
    runner = gateway_runner(create_gateway(conductor, config.limits, None, scrape))
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, config.bind.host, config.bind.port)
    try:
        await site.start()
    except OSError as error:
        raise ConfigError(
            f"cannot listen on --bind-addr {config.bind}: {error.strerror or error}"
        ) from error
