"""Malformed bytes, made from well-formed ones or from nothing.

Law: the same source of chance gives the same bytes, so that a seed and a number name an input.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

NOISE_BYTES_MAX = 400
SLICE_BYTES_MAX = 64
GROWTH_BYTES_MAX = 3000
CHANGES_MAX = 4

_TELLING = (0x00, 0x01, 0x0A, 0x0D, 0x20, 0x22, 0x5B, 0x5C, 0x7B, 0x7F, 0x80, 0xC0, 0xFE, 0xFF)
"""Bytes that mean something to one format or another."""
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1)

Change = Callable[[random.Random, bytes], bytes]


def chance_of(*names: object) -> random.Random:
    """A source of chance that belongs to these names alone."""
    return random.Random("/".join(str(name) for name in names))


def noise(chance: random.Random) -> bytes:
    """Bytes that mean nothing."""
    return chance.randbytes(chance.randrange(NOISE_BYTES_MAX))


def _flip(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def _overwrite(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([chance.choice(_TELLING)]) + data[at + 1 :]


def _number(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data))
    number = chance.choice(_NUMBERS).to_bytes(4, chance.choice(("little", "big")))
    return data[:at] + number + data[at + 4 :]


def _insert(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.randbytes(1 + chance.randrange(SLICE_BYTES_MAX)) + data[at:]


def _remove(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + data[at + 1 + chance.randrange(SLICE_BYTES_MAX) :]


def _repeat(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data))
    piece = data[at : at + 1 + chance.randrange(SLICE_BYTES_MAX)]
    times = 1 + chance.randrange(max(2, GROWTH_BYTES_MAX // len(piece)))
    return data[:at] + piece * times + data[at:]


def _cut(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def _behead(chance: random.Random, data: bytes) -> bytes:
    return data[chance.randrange(len(data)) :]


def _lengthen(chance: random.Random, data: bytes) -> bytes:
    return data + noise(chance)


_CHANGES: Sequence[Change] = (
    *(_flip, _overwrite, _number, _insert, _remove),
    *(_repeat, _cut, _behead, _lengthen),
)


def spoiled_bytes(chance: random.Random, data: bytes) -> bytes:
    """`data` with one to a few changes that know nothing of its format."""
    for _ in range(1 + chance.randrange(CHANGES_MAX)):
        data = chance.choice(_CHANGES)(chance, data) if data else noise(chance)
    return data
