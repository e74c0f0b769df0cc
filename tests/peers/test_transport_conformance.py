"""The gRPC transport does what every transport must."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conformance.transport import Side, Sides, TransportConformance
from tests.peers.kit import PeerNode, a_key, cluster


def side_of(node: PeerNode) -> Side:
    """A node as the suite wants it."""

    async def cut_off() -> None:
        await node.peers.stop()
        await node.server.stop(0)

    return Side(
        key=a_key(node.name),
        transport=node.peers,
        received=lambda: list(node.inbox.received),
        until=node.inbox.until,
        cut_off=cut_off,
    )


class TestGrpcPeers(TransportConformance):
    """Three nodes on loopback."""

    @pytest.fixture
    async def sides(self) -> AsyncIterator[Sides]:
        """All connected."""
        async with cluster("a", "b", "c") as (a, b, c):
            yield side_of(a), side_of(b), side_of(c)
