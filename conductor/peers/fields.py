"""Checks of single wire fields. Each error names the field by its path inside the message."""

from __future__ import annotations

import re

from google.protobuf.message import Message

from conductor.core.encoding import DIGEST_BYTES
from conductor.core.values import ID_BYTES_MAX, Digest
from conductor.errors import InvalidArgument

REASON_BYTES_MAX = 1024
"""Texts for people are cut to this when sent, and refused above it when received."""

_ADDRESS = re.compile(r"(?:[\w.-]+|\[[\w.:%]+\]):([0-9]{1,5})", re.ASCII)


def fixed(data: bytes, size: int, field: str) -> bytes:
    """`data`, which must have exactly `size` bytes."""
    if len(data) != size:
        raise InvalidArgument(f"{field}: has {len(data)} bytes, it must have {size}")
    return data


def digest(data: bytes, field: str) -> Digest:
    """A SHA-256 digest, 32 bytes."""
    return Digest(fixed(data, DIGEST_BYTES, field))


def name(text: str, field: str) -> str:
    """A name: neither empty nor over 256 bytes."""
    size = len(text.encode())
    if not 1 <= size <= ID_BYTES_MAX:
        raise InvalidArgument(f"{field}: has {size} bytes, it must have 1 to {ID_BYTES_MAX}")
    return text


def address(text: str, field: str) -> str:
    """`host:port`, an IPv6 host in brackets. Nothing that gRPC would take for another scheme."""
    match = _ADDRESS.fullmatch(name(text, field))
    if match is None or int(match[1]) > 65_535:
        raise InvalidArgument(f"{field}: is not host:port")
    return text


def reason(text: str, field: str) -> str:
    """A text for people; may be empty."""
    size = len(text.encode())
    if size > REASON_BYTES_MAX:
        raise InvalidArgument(f"{field}: has {size} bytes, at most {REASON_BYTES_MAX} may be")
    return text


def shortened(text: str) -> str:
    """A text for people, cut to what a receiver takes."""
    return text.encode()[:REASON_BYTES_MAX].decode(errors="ignore")


def at_most(count: int, count_max: int, field: str) -> None:
    """Refuse a list with too many elements."""
    if count > count_max:
        raise InvalidArgument(f"{field}: has {count} elements, at most {count_max} may be")


def present(message: Message, field_name: str, field: str) -> None:
    """Refuse a message that lacks a part which it cannot be without."""
    if not message.HasField(field_name):
        raise InvalidArgument(f"{field}: is missing")
