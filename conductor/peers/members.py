"""Who this node is, and who may speak to it.

Identity is what a peer says it is; mutual TLS, which binds it to a certificate, belongs in `check`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from conductor.core.greeting import Greeting
from conductor.core.values import Digest, Member, MemberKey, ServerId
from conductor.errors import NotFormed, PeerRejected, Unauthenticated
from conductor.peers.wire_values import Speaker


class Members:
    """The other members of the cluster, once there is one."""

    def __init__(self, local: Callable[[], Greeting]) -> None:
        self._local = local
        self._cluster_id: Digest | None = None
        self._others: Mapping[ServerId, Member] = MappingProxyType({})

    @property
    def greeting(self) -> Greeting:
        """What this node says of itself now."""
        return self._local()

    @property
    def others(self) -> Mapping[ServerId, Member]:
        """All members but this node."""
        return self._others

    @property
    def is_formed(self) -> bool:
        """Whether there is a cluster."""
        return self._cluster_id is not None

    @property
    def speaker(self) -> Speaker:
        """Who this node is to the others. NotFormed."""
        return Speaker(self._local().member.key, self._known_cluster_id())

    def set(self, members: Sequence[Member], cluster_id: Digest) -> None:
        """From now on these are the members, this node among them."""
        own_id = self._local().member.server_id
        others = {member.server_id: member for member in members if member.server_id != own_id}
        self._cluster_id = cluster_id
        self._others = MappingProxyType(others)

    def check(self, speaker: Speaker) -> MemberKey:
        """Who speaks, if it is a member of this cluster in whatever incarnation.

        NotFormed; PeerRejected: of another cluster; Unauthenticated: no other member's name.
        """
        own_cluster_id = self._known_cluster_id()
        if speaker.cluster_id != own_cluster_id:
            raise PeerRejected(
                f"{speaker.key.server_id} is of cluster {speaker.cluster_id.hex()}, "
                f"this server of cluster {own_cluster_id.hex()}"
            )
        if speaker.key.server_id not in self._others:
            raise Unauthenticated(f"{speaker.key.server_id} is no other member of this cluster")
        return speaker.key

    def check_is(self, speaker: Speaker, server_id: ServerId) -> MemberKey:
        """As `check`, for an answer that must come from `server_id`."""
        if speaker.key.server_id != server_id:
            raise PeerRejected(f"{speaker.key.server_id} answers where {server_id} should")
        return self.check(speaker)

    def _known_cluster_id(self) -> Digest:
        if self._cluster_id is None:
            raise NotFormed("this server has not joined a cluster yet")
        return self._cluster_id
