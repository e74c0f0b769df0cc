"""The adapter as a whole: everything between this node and the others.

It owns every task and channel that it starts, and lets go of all of them in `stop`. Nothing that it
is asked to send is waited for; what cannot go is dropped, and the core asks again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import grpc
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from conductor.config import Config
from conductor.core.greeting import Greeting
from conductor.core.messages import Message
from conductor.core.values import Digest, Member, ServerId
from conductor.peers.channels import Channels
from conductor.peers.checked_requests import CheckedRequests
from conductor.peers.client import MemberLink, answer_timeout_ms
from conductor.peers.greeter import Greeter
from conductor.peers.health import LocalHealth
from conductor.peers.liveness import Liveness
from conductor.peers.members import Members
from conductor.peers.probes import Prober
from conductor.peers.server import ReplicationServer
from conductor.peers.tasks import OwnedTasks
from conductor.ports import UNMETERED, Bodies, Clock, Meters, PeerInbox


class GrpcPeers:
    """Implements `ports.PeerTransport`.

    `local` gives this node's own greeting as of now. `on_greeting` hears, by gRPC address, what
    other nodes answer when this one greets; `on_greeted` hears what those say who greet it, and may
    raise `PeerRejected`, which the other node is told. `on_unreachable` hears, by address, why
    something could not be said. `on_health_change` hears that `prober.observe` has a new answer.
    `meters` hears how each probe ended.
    All of it, and the inbox, is called on the event loop.
    """

    def __init__(
        self,
        config: Config,
        local: Callable[[], Greeting],
        inbox: PeerInbox,
        clock: Clock,
        *,
        on_greeting: Callable[[str, Greeting], None],
        on_greeted: Callable[[Greeting], None],
        on_unreachable: Callable[[str, str], None],
        on_health_change: Callable[[], None],
        meters: Meters = UNMETERED,
    ) -> None:
        self._config = config
        self._inbox = inbox
        self._on_unreachable = on_unreachable
        self._members = Members(local)
        self._channels = Channels(config.limits)
        self._tasks = OwnedTasks()
        self._departures = OwnedTasks()
        self._liveness = Liveness(self._tasks, self._died)
        self._server = ReplicationServer(self._members, inbox, self._liveness, on_greeted)
        self._greeter = Greeter(
            self._channels, self._members, on_greeting, on_unreachable, config.timing
        )
        self._links: dict[ServerId, MemberLink] = {}
        self._running = False
        self.health = LocalHealth(paused=config.paused)
        self.prober = Prober(
            self._channels, self._liveness, clock, config.timing, on_health_change, meters
        )

    def register(self, server: grpc.aio.Server) -> None:
        """Add the services that peers call. Before the server starts."""
        server.add_generic_rpc_handlers((self._server.handler(),))
        # The stub wants a whole server; what is called are the two methods that there are.
        add_HealthServicer_to_server(self.health, CheckedRequests(server))  # type: ignore[arg-type]

    async def start(self) -> None:
        """Begin to speak. Members that were set before are connected to now."""
        self._running = True
        self._reach_out()

    async def stop(self) -> None:
        """End everything, the streams of others included. Stop the gRPC server after this."""
        self._running = False
        self.health.enter_shutdown()
        self._server.stop()
        await self._greeter.stop()
        await self.prober.stop()
        links = list(self._links.values())
        self._links.clear()
        await _leave(links, self._channels.release_all_but(()))
        await self._departures.join()
        await self._tasks.stop()

    def set_members(self, members: Sequence[Member], cluster_id: Digest) -> None:
        """From now on these are the members; a stream to each but this node is kept open."""
        self._members.set(members, cluster_id)
        if self._running:
            self._reach_out()

    def send(self, to: ServerId, message: Message, bodies: Bodies, reply_to: int) -> None:
        """Send to a member, or answer the open call `reply_to` (0: a message of our own)."""
        if not self._running:
            return
        if reply_to:
            self._server.answer(reply_to, message, bodies)
        elif (link := self._links.get(to)) is not None:
            link.send(message, bodies)

    def _reach_out(self) -> None:
        """Greet, probe and connect to whom the present members say."""
        others = self._members.others
        if not self._members.is_formed:
            own = str(self._config.grpc_advertise)
            self._greeter.greet([a for a in self._config.voter_addresses if a != own])
            return
        left: list[MemberLink] = []
        for server_id, link in list(self._links.items()):
            member = others.get(server_id)
            if member is None or member.grpc_address != link.member.grpc_address:
                left.append(self._links.pop(server_id))
        for server_id, member in others.items():
            if server_id not in self._links:
                self._links[server_id] = self._linked(member)
        addresses = {member.grpc_address for member in others.values()}
        self._greeter.greet(addresses)
        self.prober.probe(others)
        unused = self._channels.release_all_but(addresses)
        self._departures.start(_leave(left, unused), "leave former members")

    def _linked(self, member: Member) -> MemberLink:
        link = MemberLink(
            member,
            self._channels.replication(member.grpc_address),
            self._members,
            self._inbox,
            self._liveness,
            self._on_unreachable,
            answer_timeout_ms=answer_timeout_ms(self._config.timing),
            message_bytes_max=self._config.limits.grpc_message_bytes_max,
        )
        link.start()
        return link

    def _died(self, server_id: ServerId) -> None:
        self.prober.refused(server_id)
        self._inbox.peer_died(server_id)


async def _leave(links: Iterable[MemberLink], channels: Iterable[grpc.aio.Channel]) -> None:
    """End links first: a channel that closes under a call looks like a peer that broke it."""
    for link in links:
        await link.stop()
    for channel in channels:
        await channel.close()
