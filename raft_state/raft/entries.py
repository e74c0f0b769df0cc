"""Log entries: the values of the bucket `logs`, as hashicorp/raft writes and reads them.

Law: `decode_entry` reads what Go reads, to the same content, and nothing that Go refuses. When it
has no remarks, `encode_entry` of the entry in the form that was found gives the same bytes again.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from conductor.errors import InvalidArgument
from raft_state.raft.appended_at import (
    ZERO_TIME,
    AppendedAt,
    time_from_binary,
    time_from_timestamp,
)
from raft_state.raft.damage import EncodingDamaged
from raft_state.raft.msgpack import Reader, pack_raw, pack_unsigned

TYPE_MAX = 255

_MAP_OF_FIVE = b"\x85"
_MAP_OF_SIX = b"\x86"

_TIME_EXTENSIONS = {b"\xd6\xff": 4, b"\xd7\xff": 8, b"\xc7\x0c": 12}

_NAMES = ("AppendedAt", "Data", "Extensions", "Index", "Term", "Type")
"""Of the fields, in the order in which they are written."""
_DECLARED = ("Index", "Term", "Type", "Data", "Extensions", "AppendedAt")
"""The order of an entry that is written as an array: of Go's declaration."""
_BY_KEY = {name.encode(): name for name in _NAMES}
_KEYS = {name: bytes([0xA0 | len(name)]) + name.encode() for name in _NAMES}
_KEY_BYTES_MAX = max(map(len, _NAMES))


class EntryType(enum.IntEnum):
    """What an entry is for. Raft stops at an entry of any other type."""

    COMMAND = 0
    NOOP = 1
    ADD_PEER = 2
    """Of Raft protocols before 3; carries all peers, as type 3 does."""
    REMOVE_PEER = 3
    BARRIER = 4
    CONFIGURATION = 5


class EntryForm(enum.Enum):
    """The three ways in which entries were ever written."""

    CURRENT = "current"
    """Since raft 1.3: six fields, the time as Go marshals it."""
    TIMESTAMP = "timestamp"
    """Six fields, the time as a MessagePack timestamp (MsgpackUseNewTimeFormat), in UTC."""
    UNTIMED = "untimed"
    """Before raft 1.3: five fields, no time."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of a log. Views are equal to bytes of the same content."""

    index: int
    """From 1; 64 bits."""
    term: int
    type: int
    """An `EntryType`, or a number that Raft does not know (up to 255)."""
    data: bytes | memoryview | None = None
    """None is Go's nil slice, which is not the empty one."""
    extensions: bytes | memoryview | None = None
    """Left empty by op-conductor."""
    appended_at: AppendedAt | None = None
    """None when there was no such field."""

    @property
    def type_name(self) -> str:
        """`Command`, `AddPeer` ..., or `type 9` for what Raft does not know."""
        return entry_type_name(self.type)


@dataclass(frozen=True, slots=True)
class DecodedEntry:
    """An entry, and how it was written."""

    entry: LogEntry
    form: EntryForm
    remarks: tuple[str, ...] = ()
    """What Go would have written otherwise; a bounded number of them."""


def entry_type_name(entry_type: int) -> str:
    """What Raft calls a type of entries."""
    try:
        return EntryType(entry_type).name.title().replace("_", "")
    except ValueError:
        return f"type {entry_type}"


def encode_entry(entry: LogEntry, form: EntryForm = EntryForm.CURRENT) -> bytes:
    """The bytes that Go writes for an entry. Without a time, those of Go's zero time.

    InvalidArgument when a number is out of range.
    """
    if entry.type > TYPE_MAX:
        raise InvalidArgument(f"type {entry.type} is over {TYPE_MAX}")
    appended_at = entry.appended_at or ZERO_TIME
    if form is EntryForm.UNTIMED:
        parts: list[bytes | memoryview] = [_MAP_OF_FIVE]
    else:
        parts = [_MAP_OF_SIX, _KEYS["AppendedAt"], *_pack_time(appended_at, form)]
    parts += [_KEYS["Data"], *pack_raw(entry.data)]
    parts += [_KEYS["Extensions"], *pack_raw(entry.extensions)]
    parts += [_KEYS["Index"], pack_unsigned(entry.index)]
    parts += [_KEYS["Term"], pack_unsigned(entry.term)]
    parts += [_KEYS["Type"], pack_unsigned(entry.type)]
    return b"".join(parts)


def decode_entry(value: bytes | memoryview) -> DecodedEntry:
    """Read the value of a log entry. Data and extensions are views of `value`, not copies.

    EncodingDamaged when Go could not read it.
    """
    reader = Reader(value)
    draft = _Draft()
    if reader.skip_nil("the entry"):
        reader.remark("the entry is nil")
    elif reader.is_map("the entry"):
        _read_map(reader, draft)
    elif reader.is_array("the entry"):
        _read_array(reader, draft)
    else:
        raise EncodingDamaged(0, f"it is no log entry (it begins with 0x{reader.peek(''):02x})")
    if reader.remaining:
        reader.remark(f"{reader.remaining} bytes follow the entry")
    return draft.decoded(reader.remarks)


class _Draft:
    """The fields read so far; what is missing has Go's zero value."""

    __slots__ = ("appended_at", "data", "extensions", "form", "numbers")

    def __init__(self) -> None:
        self.appended_at: AppendedAt | None = None
        self.form = EntryForm.UNTIMED
        self.data: memoryview | None = None
        self.extensions: memoryview | None = None
        self.numbers = {"Index": 0, "Term": 0, "Type": 0}

    def read(self, name: str, reader: Reader) -> None:
        """Read the value of the field `name`."""
        if name == "AppendedAt":
            self.appended_at, self.form = _read_time(reader)
        elif name == "Data":
            self.data = None if reader.skip_nil(name) else reader.octets(name)
        elif name == "Extensions":
            self.extensions = None if reader.skip_nil(name) else reader.octets(name)
        elif reader.skip_nil(name):
            reader.remark(f"{name} is nil")
            self.numbers[name] = 0
        elif name == "Type":
            self.numbers[name] = reader.unsigned(name, maximum=TYPE_MAX)
        else:
            self.numbers[name] = reader.unsigned(name)

    def decoded(self, remarks: tuple[str, ...]) -> DecodedEntry:
        """The finished entry."""
        entry = LogEntry(
            index=self.numbers["Index"],
            term=self.numbers["Term"],
            type=self.numbers["Type"],
            data=self.data,
            extensions=self.extensions,
            appended_at=self.appended_at,
        )
        return DecodedEntry(entry, self.form, remarks)


def _read_map(reader: Reader, draft: _Draft) -> None:
    names: list[str] = []
    for _ in range(reader.map_size("the entry")):
        name = _read_key(reader)
        if name is None:
            reader.skip("an unknown field")
            continue
        if name in names:
            reader.remark(f"{name} is there twice, the last one counts")
        else:
            names.append(name)
        draft.read(name, reader)
    missing = [name for name in _NAMES if name not in names]
    if missing not in ([], ["AppendedAt"]):
        reader.remark(f"missing: {', '.join(missing)}")
    if names != sorted(names):
        reader.remark("the fields are not in alphabetical order")


def _read_key(reader: Reader) -> str | None:
    """The name of a known field; unknown ones are remarked on."""
    key = reader.name()
    name = _BY_KEY.get(bytes(key)) if len(key) <= _KEY_BYTES_MAX else None
    if name is None:
        reader.remark(f"unknown field {bytes(key[:40])!r}")
    return name


def _read_array(reader: Reader, draft: _Draft) -> None:
    reader.remark("the entry is written as an array")
    count = reader.array_size("the entry")
    for name in _DECLARED[:count]:
        draft.read(name, reader)
    for _ in range(count - len(_DECLARED)):
        reader.skip("an element beyond the fields")


def _read_time(reader: Reader) -> tuple[AppendedAt, EntryForm]:
    what = "AppendedAt"
    start = reader.position
    if reader.skip_nil(what):
        return ZERO_TIME, EntryForm.TIMESTAMP
    head = reader.peek(what)
    data = _read_time_extension(reader) if 0xC7 <= head <= 0xD8 else reader.raw(what)
    form = EntryForm.CURRENT
    # Only behind a one-byte header Go looks for its own format.
    time = time_from_binary(data) if 0xA0 <= head <= 0xBF else None
    if time is None:
        form = EntryForm.TIMESTAMP
        time = time_from_timestamp(data)
    if time is None:
        raise EncodingDamaged(start, f"{what} is no time: {len(data)} bytes, 0x{data[:16].hex()}")
    _remark_on_time(reader, data, time, form)
    return time, form


def _read_time_extension(reader: Reader) -> memoryview:
    what = "AppendedAt"
    start = reader.position
    header = bytes(reader.take(2, what))
    size = _TIME_EXTENSIONS.get(header)
    if size is None or (size == 12 and bytes(reader.take(1, what)) != b"\xff"):
        raise EncodingDamaged(start, f"{what} is no time (found 0x{header.hex()})")
    reader.remark(f"{what} is written as an extension")
    return reader.take(size, what)


def _remark_on_time(reader: Reader, data: memoryview, time: AppendedAt, form: EntryForm) -> None:
    if not 0 <= time.nanoseconds < 1_000_000_000:
        reader.remark(f"AppendedAt has {time.nanoseconds} nanoseconds")
    try:
        canonical = b"".join(_pack_time(time, form)[1:])
    except InvalidArgument:
        canonical = b""
    if canonical != data:
        reader.remark("AppendedAt is not written as Go would write this time")


def _pack_time(time: AppendedAt, form: EntryForm) -> tuple[bytes, bytes | memoryview]:
    if form is EntryForm.CURRENT:
        return pack_raw(time.to_binary())
    return pack_raw(None if time.is_zero else time.to_timestamp())
