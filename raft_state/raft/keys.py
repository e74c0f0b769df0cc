"""The buckets of the databases, the keys of the log, and how foreign text is shown.

Invariant: `index_of_key(index_key(index)) == index`, and keys sort as their indices do.
"""

from __future__ import annotations

from conductor.errors import InvalidArgument

LOGS = b"logs"
"""The bucket of log entries by index."""
CONF = b"conf"
"""The bucket of the stable store: term and vote."""

NUMBER_BYTES = 8


def index_key(index: int) -> bytes:
    """The key of the log entry with this index: 8 bytes, big-endian."""
    return pack_number(index)


def index_of_key(key: bytes) -> int | None:
    """The index that a key stands for; None unless it has 8 bytes, which stops or confuses Raft."""
    return int.from_bytes(key, "big") if len(key) == NUMBER_BYTES else None


def pack_number(number: int) -> bytes:
    """A number of 64 bits as keys and the stable store write it. InvalidArgument for any other."""
    if not 0 <= number < 1 << (8 * NUMBER_BYTES):
        raise InvalidArgument(f"{number} is not between 0 and 2^64 - 1")
    return number.to_bytes(NUMBER_BYTES, "big")


def text_of(data: bytes | memoryview) -> str:
    """Foreign bytes as text that keeps every byte: encoded again they are the same."""
    return str(data, "utf-8", "surrogateescape")


def bytes_of(text: str) -> bytes:
    """The bytes behind a text of `text_of`. InvalidArgument for text that is none."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"{text!r} cannot be written as UTF-8") from error


def shown(text: str | bytes | memoryview) -> str:
    """Foreign text for people: as it is when it can be printed, else its bytes in hexadecimal."""
    if not isinstance(text, str):
        text = text_of(text)
    return text if text.isprintable() else "0x" + bytes_of(text).hex()
