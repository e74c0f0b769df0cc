"""The bytes that are hashed and signed (protocol document, section "The log is a hash chain").

Invariant: two different values never have the same encoding. Strings and byte strings carry a
4-byte big-endian length, integers are big-endian and digests of 32 bytes, and each encoding begins
with its own tag. Changing anything here makes every existing log and certificate unreadable.
"""

from __future__ import annotations

import hashlib
import struct

from conductor.errors import InvalidArgument

GENESIS_TAG = b"op-conductor/genesis/v1"
ENTRY_TAG = b"op-conductor/entry/v1"
ACKNOWLEDGEMENT_TAG = b"op-conductor/ack/v1"
HAND_OVER_TAG = b"op-conductor/hand-over/v1"

DIGEST_BYTES = 32


def sized(data: bytes) -> bytes:
    """`data` behind its length as 4 big-endian bytes."""
    return struct.pack(">I", len(data)) + data


def u64(number: int) -> bytes:
    """An unsigned integer as 8 big-endian bytes."""
    return struct.pack(">Q", number)


def sha256(data: bytes) -> bytes:
    """The SHA-256 hash of `data`, 32 bytes."""
    return hashlib.sha256(data).digest()


def cluster_id(genesis: bytes) -> bytes:
    """digest(0): the digest before the first entry, which is also the name of the cluster."""
    return sha256(GENESIS_TAG + genesis)


def entry_digest(
    previous_digest: bytes, *, epoch: int, index: int, kind: int, body_hash: bytes
) -> bytes:
    """digest(i), from digest(i-1) and the header of entry i; both hashes have 32 bytes.

    InvalidArgument otherwise: of another size they could lend bytes to their neighbours.
    """
    if len(previous_digest) != DIGEST_BYTES or len(body_hash) != DIGEST_BYTES:
        raise InvalidArgument(f"the digests in the header of entry {index} are not of 32 bytes")
    return sha256(ENTRY_TAG + previous_digest + struct.pack(">QQB", epoch, index, kind) + body_hash)


def acknowledgement_message(
    *,
    cluster_id: bytes,
    server_id: str,
    incarnation: str,
    epoch: int,
    index: int,
    digest: bytes,
) -> bytes:
    """What an acknowledgement signs: this position is durable here, under this leader's epoch."""
    return b"".join(
        (
            sized(ACKNOWLEDGEMENT_TAG),
            sized(cluster_id),
            sized(server_id.encode()),
            sized(incarnation.encode()),
            u64(epoch),
            u64(index),
            sized(digest),
        )
    )


def hand_over_message(
    *, cluster_id: bytes, epoch: int, target_id: str, target_incarnation: str
) -> bytes:
    """What a leader signs when it orders a member to take the leadership from it."""
    return b"".join(
        (
            sized(HAND_OVER_TAG),
            sized(cluster_id),
            u64(epoch),
            sized(target_id.encode()),
            sized(target_incarnation.encode()),
        )
    )
