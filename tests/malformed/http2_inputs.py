"""Malformed HTTP/2 for a gRPC port: frames that lie, floods, and calls that break gRPC's own rules.

Reference: RFC 9113 (frames), RFC 7541 (headers), the gRPC over HTTP/2 protocol.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tests.malformed.byte_mutation import CHANGES_MAX, noise, spoiled_bytes
from tests.malformed.talk import Ending, Talk

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED = 0x1, 0x4, 0x8
KIB = 1024

_METHODS = (
    *("ConductorService/GetLeader", "ConductorService/Commit", "ConductorService/GetStatus"),
    *("ConductorService/WatchEpochs", "ReplicationService/Append", "ReplicationService/Greet"),
    *("ReplicationService/PrePromise", "AdminService/TransferLeader", "NoService/Nothing"),
)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame."""

    kind: int
    payload: bytes = b""
    flags: int = 0
    stream: int = 0
    length: int | None = None
    """What the frame says that it is long, if not the truth."""

    def encoded(self) -> bytes:
        """The frame as bytes."""
        length = len(self.payload) if self.length is None else self.length
        head = struct.pack(">I", length & 0xFFFFFF)[1:] + struct.pack(
            ">BBI", self.kind & 0xFF, self.flags & 0xFF, self.stream & 0xFFFFFFFF
        )
        return head + self.payload


def _integer(number: int, prefix_bits: int, first: int) -> bytes:
    """An integer as headers hold it (RFC 7541, 5.1)."""
    limit = (1 << prefix_bits) - 1
    if number < limit:
        return bytes([first | number])
    encoded = bytearray([first | limit])
    number -= limit
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def literal(name: bytes, value: bytes) -> bytes:
    """A header that goes into no table."""
    return b"\0" + _integer(len(name), 7, 0) + name + _integer(len(value), 7, 0) + value


def call_headers(path: str, *others: tuple[bytes, bytes]) -> dict[bytes, bytes]:
    """The headers of a call."""
    return {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": path.encode(),
        b":authority": b"localhost",
        b"te": b"trailers",
        b"content-type": b"application/grpc",
    } | dict(others)


def _block(headers: dict[bytes, bytes]) -> bytes:
    return b"".join(literal(name, value) for name, value in headers.items())


def message(data: bytes, *, flag: int = 0, length: int | None = None) -> bytes:
    """A message as a call carries it."""
    return struct.pack(">BI", flag, len(data) if length is None else length) + data


def plain_call(headers: dict[bytes, bytes], data: bytes = b"") -> bytes:
    """A whole connection with one call in it."""
    frames = (
        Frame(SETTINGS),
        Frame(HEADERS, _block(headers), END_HEADERS, 1),
        Frame(DATA, message(data), END_STREAM, 1),
    )
    return PREFACE + b"".join(frame.encoded() for frame in frames)


def a_call(chance: random.Random, stream: int = 1) -> list[Frame]:
    """The frames of a well-formed call of some method, with a request that may mean nothing."""
    headers = call_headers(f"/conductor.v1.{chance.choice(_METHODS)}")
    return [
        Frame(HEADERS, _block(headers), END_HEADERS, stream),
        Frame(DATA, message(chance.choice((b"", b"\x00", noise(chance)))), END_STREAM, stream),
    ]


# Frames that lie


def _changed(chance: random.Random, frame: Frame) -> Frame:
    way = chance.randrange(7)
    if way == 0:
        return replace(frame, length=chance.choice((0, 1, 2**14 + 1, 2**24 - 1, 5)))
    if way == 1:
        return replace(frame, kind=chance.choice((*range(12), 0x20, 0xFF)))
    if way == 2:
        return replace(frame, flags=chance.randrange(256))
    if way == 3:
        return replace(frame, stream=chance.choice((0, 2, 3, 2**31 - 1, 2**31 + 1, 2**32 - 1)))
    if way == 4:
        return replace(frame, payload=spoiled_bytes(chance, frame.payload))
    if way == 5:
        return replace(frame, payload=b"\xff" + frame.payload, flags=frame.flags | PADDED)
    return replace(frame, payload=frame.payload[: chance.randrange(len(frame.payload) + 1)])


def _spoiled_frames(chance: random.Random) -> bytes:
    frames = [Frame(SETTINGS), *a_call(chance), *a_call(chance, 3)]
    for _ in range(1 + chance.randrange(CHANGES_MAX)):
        place = chance.randrange(len(frames))
        way = chance.randrange(5)
        if way == 0:
            del frames[place]
        elif way == 1:
            frames.insert(chance.randrange(len(frames) + 1), frames[place])
        else:
            frames[place] = _changed(chance, frames[place])
        if not frames:
            break
    return PREFACE + b"".join(frame.encoded() for frame in frames)


def _odd_frames(chance: random.Random) -> bytes:
    """Frames that are well formed and must not come, or not like this."""
    number = chance.choice((0, 1, 2**31 - 1, 2**32 - 1))
    odd = chance.choice(
        (
            *(Frame(WINDOW, struct.pack(">I", number), 0, stream) for stream in (0, 1, 2**31 - 1)),
            *(Frame(SETTINGS, struct.pack(">HI", key, number)) for key in (*range(8), 0xFFFF)),
            *(Frame(SETTINGS, b"x" * size) for size in (1, 5, 7)),
            *(Frame(RST_STREAM, struct.pack(">I", number), 0, stream) for stream in (0, 1, 99)),
            Frame(GOAWAY, struct.pack(">II", number, number) + noise(chance)),
            Frame(PUSH, struct.pack(">I", 2) + noise(chance), END_HEADERS, 1),
            Frame(CONTINUATION, noise(chance), END_HEADERS, 1),
            Frame(PRIORITY, struct.pack(">IB", 1, 255), 0, 1),
            Frame(PING, b"1234567"),
            Frame(SETTINGS, b"", 1),
            Frame(0x77, noise(chance), 0xFF, 5),
        )
    )
    frames = [Frame(SETTINGS), *a_call(chance)]
    frames.insert(chance.randrange(len(frames) + 1), odd)
    return PREFACE + b"".join(frame.encoded() for frame in frames)


def _flood(chance: random.Random) -> bytes:
    """Many cheap frames, each of which could cost the other side something."""
    count = chance.choice((50, 400))
    streams = range(1, 2 * count, 2)
    opened = [Frame(HEADERS, _block(call_headers("/conductor.v1.ConductorService/GetStatus")))]
    way = chance.randrange(8)
    if way == 0:
        frames = [Frame(PING, bytes(8))] * count
    elif way == 1:
        frames = [Frame(SETTINGS, struct.pack(">HI", 4, 65_535))] * count
    elif way == 2:
        frames = [
            one
            for stream in streams
            for one in (
                replace(opened[0], stream=stream, flags=END_HEADERS),
                Frame(RST_STREAM, struct.pack(">I", 8), 0, stream),
            )
        ]
    elif way == 3:
        frames = [replace(opened[0], stream=stream, flags=END_HEADERS) for stream in streams]
    elif way == 4:
        frames = [replace(opened[0], stream=1)]
        frames += [Frame(CONTINUATION, literal(b"x", b"y" * 50), 0, 1)] * count
    elif way == 5:
        frames = [Frame(DATA, b"", 0, 1)] * count
    elif way == 6:
        frames = [Frame(PRIORITY, struct.pack(">IB", stream, 1), 0, stream) for stream in streams]
    else:
        frames = [Frame(WINDOW, struct.pack(">I", 1))] * count
    return PREFACE + b"".join(frame.encoded() for frame in (Frame(SETTINGS), *frames))


# Calls that break gRPC's rules


_STRANGE_HEADERS: Sequence[tuple[bytes, bytes]] = (
    *((b":method", value) for value in (b"GET", b"PUT", b"", b"\xff")),
    *((b":path", value) for value in (b"", b"/", b"*", b"//", b"/conductor.v1.ConductorService/")),
    *((b":path", value) for value in (b"/\xff/\xfe", b"/" + b"a" * 9000, b"no slash", b"/a/b/c")),
    *((b":scheme", value) for value in (b"", b"ftp", b"https")),
    *((b"content-type", value) for value in (b"", b"text/html", b"application/json", b"\x00")),
    *((b"content-type", value) for value in (b"application/grpc+json", b"application/grpcx")),
    *((b"grpc-timeout", value) for value in (b"", b"-1S", b"1", b"999999999999H", b"1x", b"0n")),
    *((b"grpc-encoding", value) for value in (b"gzip", b"nothing", b"", b"identity,gzip")),
    *((b"te", value) for value in (b"", b"gzip")),
    (b"grpc-accept-encoding", b"," * 500),
    (b"x-bin", b"not base64 at all!"),
    (b"x-long", b"y" * 7000),
    (b"x-longer", b"y" * 60_000),
    (b"Upper-Case", b"x"),
    (b"", b"x"),
    (b"connection", b"close"),
    (b":unknown", b"x"),
    (b"grpc-message", b"%zz%"),
    (b"content-length", b"-5"),
)


def _strange_call(chance: random.Random) -> bytes:
    headers = call_headers(f"/conductor.v1.{chance.choice(_METHODS)}")
    for name, value in chance.sample(_STRANGE_HEADERS, chance.randrange(1, 3)):
        headers[name] = value
    if chance.random() < 0.2:
        del headers[chance.choice(sorted(headers))]
    data = chance.choice(
        (
            message(b""),
            message(noise(chance), flag=1),
            message(b"", flag=chance.choice((2, 255))),
            message(b"abc", length=chance.choice((0, 2, 4, 2**31 - 1, 2**32 - 1))),
            message(b"") * 3,
            b"",
            b"\0\0\0",
        )
    )
    frames = [Frame(SETTINGS), *_split(_block(headers))]
    frames.append(Frame(DATA, data, chance.choice((END_STREAM, 0)), 1))
    return PREFACE + b"".join(frame.encoded() for frame in frames)


def _split(block: bytes) -> list[Frame]:
    """Headers of one stream in as many frames as they need."""
    size = 16 * KIB
    pieces = [block[at : at + size] for at in range(0, len(block), size)] or [b""]
    frames = [
        Frame(CONTINUATION if place else HEADERS, piece, 0, 1) for place, piece in enumerate(pieces)
    ]
    return [*frames[:-1], replace(frames[-1], flags=END_HEADERS)]


def _strange_block(chance: random.Random) -> bytes:
    """Headers that cannot be decoded, or would become much larger."""
    block = chance.choice(
        (
            b"\x80",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
            b"\x3f\xff\xff\xff\xff\x0f",
            b"\x40\x7f\xff\xff\xff\xff\x07a",
            b"\x82\x86\x84\xc1\xff",
            b"\x40\x01x" + _integer(4000, 7, 0) + b"y" * 4000 + b"\xbe" * 4000,
            b"\x00\x81\xff\x81\xff" * 20,
            noise(chance),
        )
    )
    frames = (Frame(SETTINGS), Frame(HEADERS, block, END_HEADERS | END_STREAM, 1))
    return PREFACE + b"".join(frame.encoded() for frame in frames)


def _no_http2(chance: random.Random) -> bytes:
    return chance.choice(
        (
            noise(chance),
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST / HTTP/1.1\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
            PREFACE[: chance.randrange(len(PREFACE))],
            PREFACE + noise(chance),
            spoiled_bytes(chance, PREFACE + Frame(SETTINGS).encoded()),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
            PREFACE + Frame(DATA, bytes(60 * KIB), 0, 1).encoded(),
        )
    )


_KINDS: Sequence[tuple[int, str, Callable[[random.Random], bytes]]] = (
    (30, "frames that lie", _spoiled_frames),
    (20, "odd frames", _odd_frames),
    (10, "floods", _flood),
    (20, "strange calls", _strange_call),
    (10, "strange headers", _strange_block),
    (10, "no HTTP/2", _no_http2),
)


def http2_talk(chance: random.Random) -> Talk:
    """One connection to a gRPC port that breaks the rules."""
    ((_, kind, make),) = chance.choices(_KINDS, [weight for weight, _, _ in _KINDS])
    data = make(chance)
    pieces = (data,) if chance.random() < 0.8 else (data[:30], data[30:])
    ending = chance.choice((Ending.SEE, Ending.SEE, Ending.LEAVE, Ending.RESET, Ending.SHUT))
    return Talk(kind, pieces, ending, pause_s=0.01)
