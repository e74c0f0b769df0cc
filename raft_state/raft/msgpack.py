"""The MessagePack dialect of hashicorp/go-msgpack: a tolerant reader, and a writer of its one form.

Law: the reader never copies a byte string and never allocates by a length that it has not checked
against the bytes that are there; each value costs at least one byte of input; nesting is bounded.
What Go reads but would not write becomes a remark, in a list of bounded length.

The dialect is the old specification: byte strings and text are both "raw", up to 31 bytes in a
one-byte header, then with 16 or 32 bits of length; never `str8`, never `bin`. A MessagePack library
would decode it as well, but not tell the forms apart, take views without copying, or give the place
of the damage; so the little that is needed is here.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from conductor.errors import InvalidArgument
from raft_state.raft.damage import EncodingDamaged

DEPTH_MAX = 1024
"""How deep Go follows nested values before it gives up."""
REMARKS_MAX = 16

NIL = 0xC0

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_U64_MAX = 2**64 - 1

_RAW_LENGTH_BYTES = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_BIN_LENGTH_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_ARRAY_LENGTH_BYTES = {0xDC: 2, 0xDD: 4}
_MAP_LENGTH_BYTES = {0xDE: 2, 0xDF: 4}
_UNSIGNED_BYTES = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_SIGNED_BYTES = {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_EXTENSION_BYTES = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_EXTENSION_LENGTH_BYTES = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXED_BYTES = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, **_UNSIGNED_BYTES, **_SIGNED_BYTES}
_TIME_EXTENSION = 0xFF
_TIME_BYTES = (4, 8, 12)

# The smallest length or number that needs so many bytes of its own.
_RAW_SMALLEST = {1: 2**64, 2: 32, 4: 65536}
_COUNT_SMALLEST = {2: 16, 4: 65536}
_UNSIGNED_SMALLEST = {1: 128, 2: 256, 4: 65536, 8: 2**32}


class Reader:
    """Reads one value after the other. Every method raises EncodingDamaged when it cannot.

    `what` names the value in errors and remarks.
    """

    __slots__ = ("_remarks", "_view", "position")

    def __init__(self, data: bytes | memoryview) -> None:
        self._view = memoryview(data)
        self._remarks: list[str] = []
        self.position = 0

    @property
    def remaining(self) -> int:
        """How many bytes have not been read."""
        return len(self._view) - self.position

    @property
    def remarks(self) -> tuple[str, ...]:
        """What Go would not have written this way, in the order of the bytes."""
        return tuple(self._remarks)

    def remark(self, text: str) -> None:
        """Note once that something is not as Go writes it; of very many, only the first."""
        if len(self._remarks) < REMARKS_MAX and text not in self._remarks:
            self._remarks.append(text)

    def peek(self, what: str) -> int:
        """The next byte, which says what the next value is."""
        if self.position >= len(self._view):
            raise EncodingDamaged(self.position, f"it ends where {what} should begin")
        return self._view[self.position]

    def take(self, size: int, what: str) -> memoryview:
        """The next `size` bytes as a view."""
        if size > self.remaining:
            problem = f"{what} needs {size} bytes, {self.remaining} are left"
            raise EncodingDamaged(self.position, problem)
        taken = self._view[self.position : self.position + size]
        self.position += size
        return taken

    def skip_nil(self, what: str) -> bool:
        """Whether the next value is nil, which is then read."""
        if self.peek(what) != NIL:
            return False
        self.position += 1
        return True

    def unsigned(self, what: str, *, maximum: int = _U64_MAX) -> int:
        """A number from 0 to `maximum`, however it is written."""
        start = self.position
        head = self._head(what)
        if head < 0x80:
            return head
        if (size := _UNSIGNED_BYTES.get(head)) is not None:
            number = int.from_bytes(self.take(size, what), "big")
            if number < _UNSIGNED_SMALLEST[size]:
                self.remark(f"{what} is written longer than needed")
        elif (size := _SIGNED_BYTES.get(head)) is not None:
            number = int.from_bytes(self.take(size, what), "big", signed=True)
            self.remark(f"{what} is written as a signed number")
        elif head >= 0xE0:
            number = head - 256
        else:
            raise EncodingDamaged(start, f"{what} is no whole number (found 0x{head:02x})")
        if not 0 <= number <= maximum:
            raise EncodingDamaged(start, f"{what} is {number}, it must be 0 to {maximum}")
        return number

    def signed(self, what: str) -> int:
        """A number of 64 bits with a sign; a bigger one wraps around, as it does in Go."""
        start = self.position
        head = self._head(what)
        if head < 0x80:
            return head
        if head >= 0xE0:
            return head - 256
        size = _UNSIGNED_BYTES.get(head) or _SIGNED_BYTES.get(head)
        if size is None:
            raise EncodingDamaged(start, f"{what} is no whole number (found 0x{head:02x})")
        is_signed = head in _SIGNED_BYTES or size == 8
        return int.from_bytes(self.take(size, what), "big", signed=is_signed)

    def raw(self, what: str) -> memoryview:
        """A byte string or text, as a view."""
        start = self.position
        head = self._head(what)
        if 0xA0 <= head <= 0xBF:
            return self.take(head & 0x1F, what)
        if (length_bytes := _RAW_LENGTH_BYTES.get(head)) is not None:
            size = int.from_bytes(self.take(length_bytes, what), "big")
            if size < _RAW_SMALLEST[length_bytes]:
                self.remark(f"{what} has an unusual length header (0x{head:02x})")
        elif (length_bytes := _BIN_LENGTH_BYTES.get(head)) is not None:
            size = int.from_bytes(self.take(length_bytes, what), "big")
            self.remark(f"{what} is written as bin")
        else:
            raise EncodingDamaged(start, f"{what} is no byte string (found 0x{head:02x})")
        return self.take(size, what)

    def name(self) -> memoryview:
        """The name of a field in a map. Go cannot read one that is empty."""
        start = self.position
        name = self.raw("the name of a field")
        if not len(name):
            raise EncodingDamaged(start, "the name of a field is empty")
        return name

    def octets(self, what: str) -> memoryview:
        """A byte string, also one that is written as a list of small numbers.

        Only such a list is copied.
        """
        if not self.is_array(what) and not self.is_map(what):
            return self.raw(what)
        self.remark(f"{what} is written as a list of numbers")
        start = self.position
        count = self.list_size(what)
        if count > self.remaining:
            problem = f"{what} has {count} elements, {self.remaining} bytes are left"
            raise EncodingDamaged(start, problem)
        data = bytearray(count)
        for place in range(count):
            if not self.skip_nil(what):
                data[place] = self.unsigned(what, maximum=255)
        return memoryview(bytes(data))

    def is_array(self, what: str) -> bool:
        """Whether an array comes next."""
        head = self.peek(what)
        return head & 0xF0 == 0x90 or head in _ARRAY_LENGTH_BYTES

    def is_map(self, what: str) -> bool:
        """Whether a map comes next."""
        head = self.peek(what)
        return head & 0xF0 == 0x80 or head in _MAP_LENGTH_BYTES

    def array_size(self, what: str) -> int:
        """The header of an array: how many elements follow. The number is a claim, not a fact."""
        return self._count(what, 0x90, _ARRAY_LENGTH_BYTES, "array")

    def map_size(self, what: str) -> int:
        """The header of a map: how many pairs follow. The number is a claim, not a fact."""
        return self._count(what, 0x80, _MAP_LENGTH_BYTES, "map")

    def list_size(self, what: str) -> int:
        """The header of a list: of an array, or of a map, which Go reads as a list of its keys and
        values."""
        return 2 * self.map_size(what) if self.is_map(what) else self.array_size(what)

    def skip(self, what: str, *, depth: int = 1) -> None:
        """Read a value of any kind and forget it. `depth` is how deep it is nested already."""
        unread = [1]  # values still to come, by level of nesting
        while unread:
            if not unread[-1]:
                unread.pop()
                continue
            unread[-1] -= 1
            children = self._skip_one(what)
            if children is None:
                continue
            unread.append(children)
            if depth + len(unread) - 1 >= DEPTH_MAX:
                raise EncodingDamaged(self.position, f"{what} is nested too deep")

    def _skip_one(self, what: str) -> int | None:
        """Skip a plain value, or the header of a container: then how many values are in it."""
        start = self.position
        head = self.peek(what)
        if self.is_array(what) or self.is_map(what):
            return self.list_size(what)
        if head in _RAW_LENGTH_BYTES or head in _BIN_LENGTH_BYTES or 0xA0 <= head <= 0xBF:
            self.raw(what)
            return None
        self.position += 1
        if head < 0x80 or head >= 0xE0:
            return None
        if (size := _FIXED_BYTES.get(head)) is not None:
            self.take(size, what)
        elif head in _EXTENSION_BYTES or head in _EXTENSION_LENGTH_BYTES:
            self._skip_extension(start, head, what)
        else:
            raise EncodingDamaged(start, f"{what} begins with 0x{head:02x}, which nothing does")
        return None

    def _skip_extension(self, start: int, head: int, what: str) -> None:
        size = _EXTENSION_BYTES.get(head)
        if size is None:
            length = self.take(_EXTENSION_LENGTH_BYTES[head], what)
            size = int.from_bytes(length, "big")
        (kind,) = self.take(1, what)
        if kind == _TIME_EXTENSION and size not in _TIME_BYTES:
            raise EncodingDamaged(start, f"{what} is a time of {size} bytes, no time has so many")
        self.take(size, what)

    def _head(self, what: str) -> int:
        head = self.peek(what)
        self.position += 1
        return head

    def _count(self, what: str, fixed: int, length_bytes: dict[int, int], kind: str) -> int:
        start = self.position
        head = self._head(what)
        if head & 0xF0 == fixed:
            return head & 0x0F
        size = length_bytes.get(head)
        if size is None:
            raise EncodingDamaged(start, f"{what} is no {kind} (found 0x{head:02x})")
        count = int.from_bytes(self.take(size, what), "big")
        if count < _COUNT_SMALLEST[size]:
            self.remark(f"{what} has an unusual length header (0x{head:02x})")
        return count


def pack_unsigned(number: int) -> bytes:
    """A number from 0 to 2^64 - 1 in the fewest bytes. InvalidArgument for any other."""
    if not 0 <= number <= _U64_MAX:
        raise InvalidArgument(f"{number} is not between 0 and 2^64 - 1")
    if number < 0x80:
        return bytes([number])
    for head, size in _UNSIGNED_BYTES.items():
        if number < 1 << (8 * size):
            return bytes([head]) + number.to_bytes(size, "big")
    raise InvalidArgument(f"{number} does not fit 64 bits")


def pack_signed(number: int) -> bytes:
    """A number of 64 bits with a sign, as Go writes its `int`. InvalidArgument for any other."""
    if -32 <= number < 0x80:
        return bytes([number & 0xFF])
    for head, size in _SIGNED_BYTES.items():
        if -(1 << (8 * size - 1)) <= number < 1 << (8 * size - 1):
            return bytes([head]) + number.to_bytes(size, "big", signed=True)
    raise InvalidArgument(f"{number} does not fit 64 bits with a sign")


def pack_raw(data: bytes | memoryview | None) -> tuple[bytes, bytes | memoryview]:
    """The header of a byte string and the string itself, uncopied, to be joined; nil for None."""
    if data is None:
        return bytes([NIL]), b""
    size = len(data)
    if size < 32:
        return bytes([0xA0 | size]), data
    if size < 65536:
        return b"\xda" + _U16.pack(size), data
    if size < 2**32:
        return b"\xdb" + _U32.pack(size), data
    raise InvalidArgument(f"a value of {size} bytes does not fit the format")


def pack_array(elements: Sequence[bytes]) -> bytes:
    """An array of values that are packed already."""
    count = len(elements)
    if count < 16:
        header = bytes([0x90 | count])
    elif count < 65536:
        header = b"\xdc" + _U16.pack(count)
    else:
        header = b"\xdd" + _U32.pack(count)
    return header + b"".join(elements)
