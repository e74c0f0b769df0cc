"""Malformed protobuf: messages whose fields are lost, doubled, mistyped, or lie about their length.

It knows the wire format and no schema. Reference: the protobuf encoding guide.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from tests.malformed.byte_mutation import CHANGES_MAX, noise, spoiled_bytes

VARINT, FIXED_64, BYTES, GROUP_START, GROUP_END, FIXED_32 = range(6)
DEPTHS = (3, 99, 101, 3000)

_NUMBERS = (0, 1, 2, 3, 127, 128, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
_FIXED_SIZES = {FIXED_64: 8, FIXED_32: 4}


@dataclass(frozen=True, slots=True)
class Field:
    """One field as it stands in a message."""

    number: int
    wire_type: int
    value: bytes
    """The bytes behind the tag, those of a length not included."""

    def encoded(self) -> bytes:
        """The field as bytes."""
        length = varint(len(self.value)) if self.wire_type == BYTES else b""
        return varint(self.number << 3 | self.wire_type) + length + self.value


def varint(number: int, *, padding: int = 0) -> bytes:
    """A number, seven bits a byte; `padding` bytes more than it needs."""
    encoded = bytearray()
    while number > 0x7F or padding:
        padding -= number <= 0x7F
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def fields_of(data: bytes) -> list[Field] | None:
    """The fields of a message; None when it is none."""
    fields: list[Field] = []
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        begin = at
        if wire_type == VARINT:
            _, at = _read_varint(data, at)
        elif wire_type == BYTES:
            size, begin = _read_varint(data, at)
            at = begin + size
        elif wire_type in _FIXED_SIZES:
            at += _FIXED_SIZES[wire_type]
        else:
            return None
        if number == 0 or at > len(data):
            return None
        fields.append(Field(number, wire_type, data[begin:at]))
    return fields


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(data):
        number |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return number, at
    return number, len(data) + 1


def spoiled_message(chance: random.Random, data: bytes) -> bytes:
    """A message with something wrong in it, most of the time."""
    if chance.random() < 0.2:
        return spoiled_bytes(chance, data)
    for _ in range(1 + chance.randrange(CHANGES_MAX)):
        data = _changed(chance, data)
    return data


def _changed(chance: random.Random, data: bytes) -> bytes:
    fields = fields_of(data)
    if not fields:
        return data + _strange_field(chance)
    place = chance.randrange(len(fields))
    field = fields[place]
    inner = fields_of(field.value) if field.wire_type == BYTES and len(field.value) > 1 else None
    way = chance.randrange(10)
    pieces = [one.encoded() for one in fields]
    if inner and way < 5:
        pieces[place] = replace(field, value=_changed(chance, field.value)).encoded()
    elif way in (0, 5):
        del pieces[place]
    elif way in (1, 6):
        pieces.insert(chance.randrange(len(pieces) + 1), pieces[place])
    elif way in (2, 7):
        pieces[place] = _strange_value(chance, field)
    elif way == 3:
        chance.shuffle(pieces)
    elif way == 8:
        pieces.insert(place, _strange_field(chance))
    else:
        pieces[place] = _strange_kind(chance, field)
    return b"".join(pieces)


def _strange_value(chance: random.Random, field: Field) -> bytes:
    """The field with another value of its kind."""
    if field.wire_type == VARINT:
        number = varint(chance.choice(_NUMBERS), padding=chance.choice((0, 0, 3)))
        return replace(field, value=number).encoded()
    value = chance.choice(
        (
            *(b"", field.value[:-1], field.value + b"\0", field.value * 2, noise(chance)),
            *(b"\xff\xfe" + field.value, "é".encode()[:1], bytes(len(field.value))),
            *(b"x" * 257, b"0" * 70_000),
        )
    )
    return replace(field, value=value).encoded()


def _strange_kind(chance: random.Random, field: Field) -> bytes:
    """The field as another one, of another type, or with a length that lies."""
    way = chance.randrange(4)
    if way == 0:
        return replace(field, number=chance.choice((1, 2, 3, 15, 16, 19_000, 2**29 - 1))).encoded()
    if way == 1:
        return varint(field.number << 3 | chance.randrange(8)) + field.value
    if way == 2:
        return varint(field.number << 3 | BYTES) + varint(chance.choice(_NUMBERS)) + field.value
    return varint(chance.randrange(8)) + field.value  # No field has the number 0.


def _strange_field(chance: random.Random) -> bytes:
    """A field that nobody expects."""
    number = chance.choice((1, 2, 5, 100, 2**29 - 1))
    way = chance.randrange(5)
    if way == 0:
        depth = chance.choice(DEPTHS)
        return _nested(number, depth)
    if way == 1:
        depth = chance.choice(DEPTHS)
        groups = varint(number << 3 | GROUP_START) * depth
        return groups + varint(number << 3 | GROUP_END) * chance.choice((0, depth))
    if way == 2:
        return varint(number << 3 | GROUP_END)
    if way == 3:
        return Field(number, BYTES, noise(chance)).encoded()
    return b"\xff" * chance.randrange(1, 12)


def _nested(number: int, depth: int) -> bytes:
    """Messages in messages of the same field."""
    data = b""
    for _ in range(depth):
        data = Field(number, BYTES, data).encoded()
    return data
