"""Every gRPC option that this project sets, and the channels to the other nodes.

The options were found by measuring. Without `http2.ping_timeout_ms` keepalive never notices a
frozen peer; without small back-offs a peer that was away for long is found again only after
minutes; a server that does not relax its ping rules sends a pinging client away. Replication and
health have connections of their own, so that a large payload never makes its sender look dead.
"""

from __future__ import annotations

from collections.abc import Collection

import grpc

from conductor.config import Limits

KEEPALIVE_INTERVAL_MS = 5_000
KEEPALIVE_TIMEOUT_MS = 2_000

Options = tuple[tuple[str, int], ...]


def _common(limits: Limits) -> Options:
    return (
        ("grpc.max_send_message_length", limits.grpc_message_bytes_max),
        ("grpc.max_receive_message_length", limits.grpc_message_bytes_max),
        ("grpc.keepalive_time_ms", KEEPALIVE_INTERVAL_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    )


def channel_options(limits: Limits) -> Options:
    """For a channel to another node."""
    return (
        *_common(limits),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.enable_http_proxy", 0),
    )


def server_options(limits: Limits) -> Options:
    """For the server on which peers and clients call."""
    return (
        *_common(limits),
        # Two nodes on one port would each get half of the connections.
        ("grpc.so_reuseport", 0),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", KEEPALIVE_INTERVAL_MS // 2),
        ("grpc.http2.max_ping_strikes", 0),
    )


class Channels:
    """One channel for replication and one for health to every address in use."""

    def __init__(self, limits: Limits) -> None:
        self._options = channel_options(limits)
        self._replication: dict[str, grpc.aio.Channel] = {}
        self._health: dict[str, grpc.aio.Channel] = {}

    def replication(self, address: str) -> grpc.aio.Channel:
        """For greetings, streams and calls."""
        if address not in self._replication:
            self._replication[address] = grpc.aio.insecure_channel(address, self._options)
        return self._replication[address]

    def health(self, address: str) -> grpc.aio.Channel:
        """For probes; shares no connection with `replication`."""
        if address not in self._health:
            options = (*self._options, ("grpc.use_local_subchannel_pool", 1))
            self._health[address] = grpc.aio.insecure_channel(address, options)
        return self._health[address]

    def release_all_but(self, addresses: Collection[str]) -> list[grpc.aio.Channel]:
        """Forget the channels to every other address; the caller closes them."""
        return [
            channels.pop(address)
            for channels in (self._replication, self._health)
            for address in list(channels)
            if address not in addresses
        ]
