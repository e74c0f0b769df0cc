"""Log entries: the exact bytes of Go, and its tolerance for what it would not write."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conductor.errors import InvalidArgument
from raft_state.raft import (
    ZERO_TIME,
    AppendedAt,
    DecodedEntry,
    EncodingDamaged,
    EntryForm,
    LogEntry,
    decode_entry,
    encode_entry,
)
from raft_state.raft.msgpack import REMARKS_MAX, pack_raw, pack_unsigned
from tests.raft_state.raft_samples import (
    EMPTY_DATA,
    EMPTY_DATA_ENTRY,
    HELLO,
    HELLO_ENTRY,
    NOOP,
    NOOP_ENTRY,
    TIMESTAMP,
    UNTIMED_NOOP,
)

UNTIMED_NOOP_ENTRY = LogEntry(index=2, term=2, type=1)

REAL = [
    pytest.param(NOOP, NOOP_ENTRY, EntryForm.CURRENT, id="noop"),
    pytest.param(EMPTY_DATA, EMPTY_DATA_ENTRY, EntryForm.CURRENT, id="empty-data"),
    pytest.param(HELLO, HELLO_ENTRY, EntryForm.CURRENT, id="zone-and-extensions"),
    pytest.param(TIMESTAMP, EMPTY_DATA_ENTRY, EntryForm.TIMESTAMP, id="timestamp"),
    pytest.param(UNTIMED_NOOP, UNTIMED_NOOP_ENTRY, EntryForm.UNTIMED, id="before-1.3"),
]

KEY = {
    name: bytes([0xA0 | len(name)]) + name.encode()
    for name in ("AppendedAt", "Data", "Extensions", "Index", "Term", "Type")
}
ZERO_BINARY = b"\xaf" + ZERO_TIME.to_binary()


def a_value(**fields: bytes) -> bytes:
    """An entry of index 7, term 3, type 0 and data `abc`, with some fields written otherwise."""
    packed = {
        "AppendedAt": ZERO_BINARY,
        "Data": b"\xa3abc",
        "Extensions": b"\xc0",
        "Index": b"\x07",
        "Term": b"\x03",
        "Type": b"\x00",
        **fields,
    }
    return b"\x86" + b"".join(KEY[name] + value for name, value in packed.items())


AN_ENTRY = LogEntry(index=7, term=3, type=0, data=b"abc", appended_at=ZERO_TIME)
PAIRS = a_value()[1:]


@pytest.mark.parametrize(("value", "entry", "form"), REAL)
def test_real_entries_are_read_without_a_remark(
    value: bytes, entry: LogEntry, form: EntryForm
) -> None:
    assert decode_entry(value) == DecodedEntry(entry, form)


@pytest.mark.parametrize(("value", "entry", "form"), REAL)
def test_entries_are_written_as_go_writes_them(
    value: bytes, entry: LogEntry, form: EntryForm
) -> None:
    assert encode_entry(entry, form) == value


def test_entry_without_a_time_is_written_with_gos_zero_time() -> None:
    assert encode_entry(LogEntry(index=2, term=2, type=1)) == NOOP
    timestamp = encode_entry(LogEntry(index=2, term=2, type=1), EntryForm.TIMESTAMP)
    assert timestamp.startswith(b"\x86\xaaAppendedAt\xc0\xa4Data")


@pytest.mark.parametrize(
    ("number", "packed"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "cc80"),
        (200, "ccc8"),
        (255, "ccff"),
        (256, "cd0100"),
        (65535, "cdffff"),
        (65536, "ce00010000"),
        (70001, "ce00011171"),
        (2**32 - 1, "ceffffffff"),
        (2**32, "cf0000000100000000"),
        (2**33, "cf0000000200000000"),
        (2**40, "cf0000010000000000"),
        (2**63, "cf8000000000000000"),
        (2**64 - 1, "cfffffffffffffffff"),
    ],
)
def test_numbers_take_the_fewest_bytes(number: int, packed: str) -> None:
    assert pack_unsigned(number).hex() == packed
    value = encode_entry(LogEntry(index=number, term=1, type=0))
    assert decode_entry(value) == DecodedEntry(
        LogEntry(index=number, term=1, type=0, appended_at=ZERO_TIME), EntryForm.CURRENT
    )


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, "a0"),
        (31, "bf"),
        (32, "da0020"),
        (256, "da0100"),
        (65535, "daffff"),
        (65536, "db00010000"),
    ],
)
def test_byte_strings_have_the_header_of_the_old_specification(size: int, header: str) -> None:
    data = b"x" * size
    assert pack_raw(data)[0].hex() == header
    value = encode_entry(LogEntry(index=1, term=1, type=0, data=data))
    assert KEY["Data"] + bytes.fromhex(header) + data in value
    assert decode_entry(value).entry.data == data
    assert decode_entry(value).remarks == ()


def test_nil_data_is_not_empty_data() -> None:
    assert decode_entry(a_value(Data=b"\xc0")).entry.data is None
    assert decode_entry(a_value(Data=b"\xa0")).entry.data == b""
    assert decode_entry(a_value(Data=b"\xa0")).remarks == ()


@pytest.mark.parametrize(
    "entry",
    [
        LogEntry(index=-1, term=1, type=0),
        LogEntry(index=1, term=2**64, type=0),
        LogEntry(index=1, term=1, type=256),
        LogEntry(index=1, term=1, type=0, appended_at=AppendedAt(2**63)),
        LogEntry(index=1, term=1, type=0, appended_at=AppendedAt(0, 2**31)),
        LogEntry(index=1, term=1, type=0, appended_at=AppendedAt(0, 0, -60)),
        LogEntry(index=1, term=1, type=0, appended_at=AppendedAt(0, 0, 2**21)),
    ],
)
def test_what_go_could_not_write_is_refused(entry: LogEntry) -> None:
    with pytest.raises(InvalidArgument):
        encode_entry(entry)


TIME_EXTENSION_4 = b"\xd6\xff" + struct.pack(">I", 5)
TIME_EXTENSION_8 = b"\xd7\xff" + struct.pack(">Q", 7 << 34 | 5)
TIME_EXTENSION_12 = b"\xc7\x0c\xff" + struct.pack(">Iq", 7, -5)

ACCEPTED = [
    ("fields in another order", b"\x86" + PAIRS[27:] + PAIRS[:27], AN_ENTRY, "alphabetical order"),
    (
        "a field is missing",
        b"\x81" + KEY["Index"] + b"\x07",
        LogEntry(7, 0, 0),
        "missing: AppendedAt, Data",
    ),
    (
        "an unknown field",
        b"\x87" + PAIRS + b"\xa3New\x93\x01\xc0\x81\xa1x\xcb12345678",
        AN_ENTRY,
        "unknown field b'New'",
    ),
    ("the case of a name", b"\x87" + PAIRS + b"\xa4data\xa1x", AN_ENTRY, "unknown field b'data'"),
    ("a field twice", b"\x87" + KEY["Index"] + b"\x09" + PAIRS, AN_ENTRY, "Index is there twice"),
    ("map16", b"\xde\x00\x06" + PAIRS, AN_ENTRY, "unusual length header (0xde)"),
    ("map32", b"\xdf\x00\x00\x00\x06" + PAIRS, AN_ENTRY, "unusual length header (0xdf)"),
    ("str8 name", b"\x86\xd9\x0a" + PAIRS[1:], AN_ENTRY, "unusual length header (0xd9)"),
    ("bin8 name", b"\x86\xc4\x0a" + PAIRS[1:], AN_ENTRY, "field is written as bin"),
    ("str8 data", a_value(Data=b"\xd9\x03abc"), AN_ENTRY, "Data has an unusual length header"),
    ("bin8 data", a_value(Data=b"\xc4\x03abc"), AN_ENTRY, "Data is written as bin"),
    ("raw32 data", a_value(Data=b"\xdb\0\0\0\x03abc"), AN_ENTRY, "Data has an unusual length"),
    ("data as numbers", a_value(Data=b"\x93ab\xccc"), AN_ENTRY, "Data is written as a list"),
    ("unsigned too long", a_value(Index=b"\xcd\0\x07"), AN_ENTRY, "Index is written longer"),
    ("signed", a_value(Term=b"\xd3" + bytes(7) + b"\x03"), AN_ENTRY, "Term is written as a signed"),
    ("nil for a number", a_value(Type=b"\xc0"), AN_ENTRY, "Type is nil"),
    ("trailing bytes", a_value() + b"\xff\xff", AN_ENTRY, "2 bytes follow the entry"),
    ("nil", b"\xc0", LogEntry(0, 0, 0), "the entry is nil"),
    ("empty map", b"\x80", LogEntry(0, 0, 0), "missing: AppendedAt, Data"),
    (
        "array",
        b"\x96\x07\x03\x00\xa3abc\xc0" + ZERO_BINARY,
        AN_ENTRY,
        "the entry is written as an array",
    ),
    (
        "array that is too long",
        b"\x97\x07\x03\x00\xa3abc\xc0" + ZERO_BINARY + b"\x91\x01",
        AN_ENTRY,
        "the entry is written as an array",
    ),
    ("short array", b"\x92\x07\x03", LogEntry(7, 3, 0), "the entry is written as an array"),
]

ACCEPTED_TIMES = [
    ("raw4", b"\xa4" + struct.pack(">I", 5), AppendedAt(5), ""),
    ("raw8", b"\xa8" + struct.pack(">Q", 7 << 34 | 5), AppendedAt(5, 7), ""),
    ("raw12", b"\xac" + struct.pack(">Iq", 7, -5), AppendedAt(-5, 7), ""),
    ("nil", b"\xc0", ZERO_TIME, ""),
    ("raw12 where raw4 would do", b"\xac" + struct.pack(">Iq", 0, 5), AppendedAt(5), "not written"),
    ("bin4", b"\xc4\x04" + struct.pack(">I", 5), AppendedAt(5), "as bin"),
    ("ext4", TIME_EXTENSION_4, AppendedAt(5), "as an extension"),
    ("ext8", TIME_EXTENSION_8, AppendedAt(5, 7), "as an extension"),
    ("ext12", TIME_EXTENSION_12, AppendedAt(-5, 7), "as an extension"),
    (
        "too many nanoseconds",
        b"\xac" + struct.pack(">Iq", 3_000_000_007, 5),
        AppendedAt(8, 7),
        "not written",
    ),
]


@pytest.mark.parametrize(
    ("value", "entry", "remark"),
    [pytest.param(*case[1:], id=case[0]) for case in ACCEPTED],
)
def test_what_go_reads_but_would_not_write_is_remarked_on(
    value: bytes, entry: LogEntry, remark: str
) -> None:
    decoded = decode_entry(value)

    assert decoded.entry == entry
    assert any(remark in text for text in decoded.remarks), decoded.remarks


@pytest.mark.parametrize(
    ("packed", "time", "remark"),
    [pytest.param(*case[1:], id=case[0]) for case in ACCEPTED_TIMES],
)
def test_every_form_of_time_is_read(packed: bytes, time: AppendedAt, remark: str) -> None:
    decoded = decode_entry(a_value(AppendedAt=packed))

    assert decoded.entry.appended_at == time
    assert decoded.form is EntryForm.TIMESTAMP
    assert bool(decoded.remarks) == bool(remark)
    assert all(remark in text for text in decoded.remarks[:1])


@pytest.mark.parametrize(
    ("value", "offset", "reason"),
    [
        pytest.param(b"", 0, "ends where the entry should begin", id="empty"),
        pytest.param(b"\x05", 0, "no log entry", id="number at the top"),
        pytest.param(b"\xa3abc", 0, "no log entry", id="text at the top"),
        pytest.param(a_value(Index=b"\xff"), 55, "Index is -1, it must be 0 to", id="negative"),
        pytest.param(a_value(Index=b"\xd0\x80"), 55, "Index is -128", id="negative int8"),
        pytest.param(a_value(Index=b"\xca\0\0\0\0"), 55, "no whole number", id="float"),
        pytest.param(a_value(Type=b"\xcd\x01\x00"), 67, "Type is 256", id="type over 255"),
        pytest.param(a_value(AppendedAt=b"\x05"), 12, "AppendedAt is no", id="number as time"),
        pytest.param(
            a_value(AppendedAt=b"\xcb" + bytes(8)), 12, "AppendedAt is no", id="float as time"
        ),
        pytest.param(
            a_value(AppendedAt=b"\xc4\x0f" + ZERO_TIME.to_binary()),
            12,
            "no time: 15 bytes",
            id="bin15 as time",
        ),
        pytest.param(
            a_value(AppendedAt=b"\xda\x00\x0f" + ZERO_TIME.to_binary()),
            12,
            "no time: 15 bytes",
            id="long header before a time",
        ),
        pytest.param(a_value(AppendedAt=b"\xa5abcde"), 12, "no time: 5 bytes", id="raw5 as time"),
        pytest.param(
            a_value(AppendedAt=b"\xaf\x03" + bytes(14)), 12, "no time", id="unknown time version"
        ),
        pytest.param(a_value(AppendedAt=b"\xd6\x01\0\0\0\0"), 12, "no time", id="other extension"),
        pytest.param(
            a_value(Data=b"\x91\xcd\x01\x00"), 34, "Data is 256", id="large number in data"
        ),
        pytest.param(a_value(Data=b"\x01"), 33, "Data is no byte string", id="number as data"),
        pytest.param(b"\x81\x01\x01", 1, "name of a field is no byte", id="number as name"),
        pytest.param(b"\x81\xa0\x01", 1, "name of a field is empty", id="empty name"),
        pytest.param(b"\x81\xa1x\xc1", 3, "0xc1, which nothing does", id="byte without meaning"),
        pytest.param(b"\x81\xa1x\xc7\x02\xff\0\0", 3, "time of 2 bytes", id="odd time, skipped"),
    ],
)
def test_what_go_refuses_is_damage_with_its_place(value: bytes, offset: int, reason: str) -> None:
    with pytest.raises(EncodingDamaged, match=reason) as caught:
        decode_entry(value)
    assert caught.value.offset == offset
    assert str(caught.value).startswith(f"at byte {offset}: ")


@pytest.mark.parametrize(("value", "entry", "form"), REAL)
def test_every_truncation_is_damage(value: bytes, entry: LogEntry, form: EntryForm) -> None:
    for size in range(len(value)):
        with pytest.raises(EncodingDamaged):
            decode_entry(value[:size])


@pytest.mark.parametrize("head", ["db", "c6", "dd", "df"])
def test_lying_length_of_4_gb_costs_nothing(head: str) -> None:
    value = b"\x81" + KEY["Data"] + bytes.fromhex(head) + b"\xff\xff\xff\xff" + b"\x01" * 100
    tracemalloc.start()
    try:
        with pytest.raises(EncodingDamaged, match=r"Data (needs|has) \d{10}"):
            decode_entry(value)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("count", ["df", "dd"])
def test_lying_count_at_the_top_ends_with_the_bytes(count: str) -> None:
    with pytest.raises(EncodingDamaged, match="it ends where"):
        decode_entry(bytes.fromhex(count) + b"\xff\xff\xff\xff")


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\x01", b"\xdd\0\0\0\x01"])
def test_nesting_is_followed_as_deep_as_go_does(opening: bytes) -> None:
    unknown = b"\x81\xa1x"
    assert decode_entry(unknown + opening * 1022 + b"\x01").entry == LogEntry(0, 0, 0)
    with pytest.raises(EncodingDamaged, match="nested too deep"):
        decode_entry(unknown + opening * 1023 + b"\x01")
    with pytest.raises(EncodingDamaged, match="nested too deep"):
        decode_entry(unknown + opening * 100_000)


def test_data_of_a_megabyte_are_not_copied() -> None:
    value = encode_entry(LogEntry(index=1, term=1, type=0, data=bytes(1 << 20)))
    tracemalloc.start()
    try:
        decoded = decode_entry(memoryview(value))
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()

    assert isinstance(decoded.entry.data, memoryview)
    assert decoded.entry.data.obj is value


def test_remarks_are_bounded_however_odd_an_entry_is() -> None:
    fields = b"".join(
        b"\xa2" + struct.pack(">H", 0x4100 + number) + b"\x01" for number in range(999)
    )
    decoded = decode_entry(b"\xde\x03\xe7" + fields)
    assert len(decoded.remarks) == REMARKS_MAX


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (ZERO_TIME, "0001-01-01T00:00:00Z"),
        (AppendedAt(0), "1970-01-01T00:00:00Z"),
        (AppendedAt(1_752_244_876, 10_000_030), "2025-07-11T14:41:16.01000003Z"),
        (AppendedAt(-1, 999_999_999), "1969-12-31T23:59:59.999999999Z"),
        (AppendedAt(17_179_869_184), "2514-05-30T01:53:04Z"),
        (AppendedAt(1_709_164_800, 0, 19_800), "2024-02-29T05:30:00+05:30"),
        (AppendedAt(1_709_164_800, 0, -9_000), "2024-02-28T21:30:00-02:30"),
        (AppendedAt(1_709_164_800, 0, 0), "2024-02-29T00:00:00Z"),
        (AppendedAt(1_709_164_800, 0, -30), "2024-02-28T23:59:30+00:00"),
        (AppendedAt(253_402_300_800), "10000-01-01T00:00:00Z"),
        (AppendedAt(-62_198_755_200), "-0001-01-01T00:00:00Z"),
    ],
)
def test_times_are_shown_as_go_shows_them(time: AppendedAt, text: str) -> None:
    assert time.isoformat() == text


@pytest.mark.parametrize(
    ("time", "packed"),
    [
        (AppendedAt(-1, 5), "010000000e7791f6ff00000005ffff"),
        (AppendedAt(17_179_869_184), "010000001277 91f700 00000000 ffff"),
        (AppendedAt(0, 0, -7200), "010000000e7791f70000000000ff88"),
        (AppendedAt(0, 0, 0), "010000000e7791f700000000000000"),
        (AppendedAt(0, 0, 5430), "020000000e7791f70000000000005a1e"),
        # Go drops the sign of the seconds when it reads: what it wrote for -30 it reads as 226.
        (AppendedAt(0, 0, 226), "020000000e7791f700000000000003 2e"),
    ],
)
def test_times_are_marshalled_as_go_does(time: AppendedAt, packed: str) -> None:
    assert time.to_binary() == bytes.fromhex(packed)
    decoded = decode_entry(encode_entry(LogEntry(1, 1, 0, appended_at=time)))
    assert decoded.entry.appended_at == time
    assert decoded.remarks == ()


def test_seconds_of_a_western_zone_are_read_as_go_reads_them() -> None:
    western = AppendedAt(0, 0, -30)
    assert western.to_binary()[-3:].hex() == "0000e2"
    decoded = decode_entry(encode_entry(LogEntry(1, 1, 0, appended_at=western)))
    assert decoded.entry.appended_at == AppendedAt(0, 0, 226)
    assert decoded.remarks == ("AppendedAt is not written as Go would write this time",)


@pytest.mark.parametrize(
    ("time", "packed"),
    [
        (AppendedAt(0), "a400000000"),
        (AppendedAt(5), "a400000005"),
        (AppendedAt(2**32), "a80000000100000000"),
        (AppendedAt(5, 1), "a80000000400000005"),
        (AppendedAt(2**34 - 1, 999_999_999), "a8ee6b27ffffffffff"),
        (AppendedAt(2**34), "ac000000000000000400000000"),
        (AppendedAt(-1, 1), "ac00000001ffffffffffffffff"),
        (ZERO_TIME, "c0"),
    ],
)
def test_timestamps_take_the_fewest_bytes(time: AppendedAt, packed: str) -> None:
    value = encode_entry(LogEntry(1, 1, 0, appended_at=time), EntryForm.TIMESTAMP)
    assert value[12:].startswith(bytes.fromhex(packed) + KEY["Data"])
    assert decode_entry(value).entry.appended_at == time
    assert decode_entry(value).remarks == ()


U64 = st.sampled_from([0, 127, 128, 65535, 65536, 2**32, 2**64 - 1]) | st.integers(0, 2**64 - 1)
OCTETS = st.none() | st.binary(max_size=70)
TIMES = st.builds(
    AppendedAt,
    st.integers(-(2**40), 2**40),
    st.integers(0, 999_999_999),
    st.none() | st.integers(-1439, 1439).filter(lambda m: m != -1).map(lambda m: 60 * m),
)
ENTRIES = st.builds(LogEntry, U64, U64, st.integers(0, 255), OCTETS, OCTETS, TIMES)


@given(ENTRIES)
def test_entries_survive_writing_and_reading(entry: LogEntry) -> None:
    decoded = decode_entry(encode_entry(entry))
    assert decoded == DecodedEntry(entry, EntryForm.CURRENT)


@given(
    ENTRIES,
    st.sampled_from(EntryForm),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=3),
)
@example(HELLO_ENTRY, EntryForm.CURRENT, [(12, 0xB0)])
def test_changed_bytes_are_damage_or_remarked_on_or_read_as_they_stand(
    entry: LogEntry, form: EntryForm, changes: list[tuple[int, int]]
) -> None:
    value = bytearray(encode_entry(entry, form))
    for place, byte in changes:
        value[place % len(value)] = byte

    try:
        decoded = decode_entry(bytes(value))
    except EncodingDamaged:
        return
    assert decoded.remarks or encode_entry(decoded.entry, decoded.form) == value
