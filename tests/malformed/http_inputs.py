"""Malformed HTTP: bad documents in good requests, and requests that are bad themselves.

Invariant: nothing made here ends the node or moves its leadership, however it is read.
"""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable, Sequence

from tests.malformed.api_targets import (
    spoiled_acknowledgement,
    spoiled_commit,
    spoiled_jsonrpc,
)
from tests.malformed.byte_mutation import noise, spoiled_bytes
from tests.malformed.payload_targets import spoiled_payload_json, spoiled_ssz
from tests.malformed.talk import Ending, Talk
from tests.payload.builders import a_document, as_bytes

MIB = 2**20
JSON = "application/json"
SSZ = "application/octet-stream"

_PATHS = (
    *("/", "/commit", "/commit-unsafe-payload", "/acknowledge", "/payload/1", "/latest"),
    *("/leader", "/health", "/healthz", "/readyz", "/metrics", "/nothing", "//", "/./", "/%2e%2e/"),
)
_METHODS = (
    *(b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"HEAD", b"PATCH", b"TRACE", b"CONNECT"),
    *(b"get", b"", b"G ET", b"\xff", b"PRI", b"X" * 300, b"GET\0"),
)
_TARGETS = (
    *(b"/", b"*", b"", b"//", b"http://other/", b"http://[::1", b"/?a=%zz", b"/%00", b"/%ff%fe"),
    *(b"/payload/-1", b"/payload/99999999999999999999", b"/payload/1e3", b"/payload/", b"/payload"),
    *(
        "/payload/\u0661".encode(),
        b"/payload/1/2",
        b"/payload/%31",
        b"/payload/0x1",
        b"/payload/ 1",
    ),
    *(b"/latest?consistent=maybe", b"/latest?consistent", b"/latest?consistent=1&consistent=0"),
    *(b"/latest?" + b"&" * 3000, b"/" + b"a" * 7000, b"/" + b"a" * 9000, b"/#fragment", b"/a b"),
    *(b"/\r\nX: y", b"\x00", b"/..%2f..%2fetc/passwd", b"/metrics?" + b"%" * 500),
)
_VERSIONS = (
    *(b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9.9", b"HTTP/1.", b"HTTP/-1.1"),
    *(b"", b"http/1.1", b"HTTP/1.1 x", b"HTTP/1.1\0", b"HTTP/" + b"1" * 400),
)
_HEADERS = (
    *(b"Content-Length: -1", b"Content-Length: 1e3", b"Content-Length: 0x10", b"Content-Length:"),
    *(b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: 99999999999999999999999"),
    *(b"Content-Length: +5", b"Content-Length: 5, 5", b"Content-Length: " + b"9" * 5000),
    *(b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"Transfer-Encoding: gzip, chunked"),
    *(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked, chunked", b"TE: x"),
    *(b"Content-Encoding: gzip", b"Content-Encoding: br", b"Content-Encoding: \xff"),
    *(b"Content-Type: text/plain", b"Content-Type:", b"Content-Type: application/json; charset=x"),
    *(
        b"Content-Type: " + b"a/" * 300,
        b"Content-Type: \xff\xfe",
        b"Content-Type: multipart/form-data",
    ),
    *(b"Host: a\r\nHost: b", b"Host:", b"Host: \xff", b"Host: [::1", b"Host: a:b:c", b"Host: a@b"),
    *(b"Origin: null", b"Origin: http://evil.example", b"Origin: \xff", b"Origin:", b"Origin: ://"),
    *(b"Expect: 100-continue", b"Expect: 200-never", b"Upgrade: websocket", b"Upgrade: h2c"),
    *(
        b"Connection: upgrade\r\nUpgrade: websocket",
        b"Connection: close, keep-alive",
        b"Connection:",
    ),
    *(b"No-Colon", b": no name", b"Sp ace: x", b" Folded: x", b"X: a\r\n b", b"X:\0", b"X: \x01"),
    *(
        b"X-Long: " + b"a" * 9000,
        b"Cookie: " + b"a=b; " * 1500,
        b"Range: bytes=0-,-1",
        b"\xff: \xff",
    ),
    *(b"\r\n".join(b"X-%d: y" % number for number in range(300)), b"Accept-Encoding: gzip;q=x"),
    *(b"If-None-Match: *", b"X-Forwarded-For: " + b"1," * 900, b"Trailer: X", b"Max-Forwards: -1"),
)
_CHUNKS = (
    *(
        b"5\r\nhello\r\n0\r\n\r\n",
        b"zz\r\nhello\r\n",
        b"-1\r\n\r\n",
        b"5\r\nhel",
        b"5;x=y\r\nhello\r\n0\r\n",
    ),
    *(b"fffffffffffffffff\r\n", b"ffffffff\r\nhello", b"5\nhello\n0\n\n", b"0\r\nX: y\r\n\r\n"),
    *(
        b"5\r\nhello0\r\n\r\n",
        b"\r\n",
        b"5 \r\nhello\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"0" * 5000,
    ),
    *(
        b"1;" + b"a" * 9000 + b"\r\nx\r\n",
        b"0\r\n" + b"X: y\r\n" * 400,
        b"+5\r\nhello\r\n0\r\n\r\n",
    ),
)
_OTHER_PROTOCOLS = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"GET / HTTP/1.1\nHost: x\n\n",
    b"\r\n\r\n\r\n" * 100,
    b"\x00" * 4000,
    b"EHLO example.org\r\n",
    b"\x05\x01\x00",
)


def posted(path: str, body: bytes, content_type: str = JSON, *headers: bytes) -> bytes:
    """A request that is good as HTTP; its connection ends with the answer."""
    lines = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}".encode(),
        b"Content-Length: %d" % len(body),
        b"Connection: close",
        *headers,
    )
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


# Bad documents in good requests


def _document(chance: random.Random) -> tuple[str, bytes, str]:
    """A path, a body for it with something wrong, and its content type."""
    way = chance.randrange(10)
    if way < 5:
        return "/", spoiled_jsonrpc(chance, may_stop=False), JSON
    if way < 7:
        return "/commit", spoiled_commit(chance), JSON
    if way == 7:
        return "/commit-unsafe-payload", spoiled_ssz(chance), SSZ
    if way == 8:
        return "/acknowledge", spoiled_acknowledgement(chance), JSON
    body = b'{"jsonrpc":"2.0","id":1,"method":"conductor_commitUnsafePayload","params":[%b]}'
    return "/", body % spoiled_payload_json(chance), JSON


def _bad_document(chance: random.Random) -> Talk:
    path, body, content_type = _document(chance)
    return Talk(f"document to {path}", (posted(path, body, content_type),), Ending.WAIT)


def _wrong_path(chance: random.Random) -> Talk:
    path, body, content_type = _document(chance)
    if path == "/":
        body = b"{}"  # Whatever is read of it, it asks for nothing.
    path = chance.choice(_PATHS)
    return Talk("document to another path", (posted(path, body, content_type),), Ending.WAIT)


def _other_content(chance: random.Random) -> Talk:
    """Compressed bodies, and content types of other things."""
    path, body, content_type = _document(chance)
    encoding, packed = chance.choice(
        (
            (b"gzip", gzip.compress(body)),
            (b"deflate", zlib.compress(body)),
            (b"gzip", body),
            (b"br", body),
            (b"identity", body),
            (b"GZIP, gzip", gzip.compress(gzip.compress(body))),
        )
    )
    content_type = chance.choice(
        (content_type, "text/plain", "", "application/json; charset=utf-16", "a", "x" * 2000)
    )
    request = posted(path, packed, content_type, b"Content-Encoding: " + encoding)
    return Talk("content type or encoding", (request,), Ending.WAIT)


def _slow(chance: random.Random) -> Talk:
    """A request that comes in dribs and drabs, whole in the end or not."""
    path, body, content_type = _document(chance)
    request = posted(path, body[:2000], content_type)
    step = max(1, len(request) // chance.randrange(2, 20))
    pieces = [request[at : at + step] for at in range(0, len(request), step)]
    whole = chance.random() < 0.7
    return Talk(
        "slow and whole" if whole else "slow and broken off",
        tuple(pieces if whole else pieces[:-1]),
        Ending.WAIT if whole else Ending.LEAVE,
        pause_s=chance.choice((0.001, 0.01, 0.05)),
    )


# Requests that are bad themselves


def _head(chance: random.Random) -> bytes:
    line = b" ".join(
        (
            chance.choice(_METHODS) if chance.random() < 0.4 else chance.choice((b"GET", b"POST")),
            chance.choice(_TARGETS) if chance.random() < 0.5 else chance.choice(_PATHS).encode(),
            chance.choice(_VERSIONS) if chance.random() < 0.2 else b"HTTP/1.1",
        )
    )
    headers = [b"Host: localhost", b"Content-Type: application/json"]
    headers += chance.sample(_HEADERS, chance.randrange(4))
    chance.shuffle(headers)
    return b"\r\n".join((line, *headers, b"", b""))


def _bad_head(chance: random.Random) -> Talk:
    request = _head(chance) + b'{"jsonrpc":"2.0","id":1}' * chance.randrange(2)
    if chance.random() < 0.3:
        request = spoiled_bytes(chance, request)
    ending = chance.choice((Ending.SEE, Ending.SEE, Ending.SHUT, Ending.LEAVE))
    return Talk("head", (request,), ending)


def _bad_chunks(chance: random.Random) -> Talk:
    head = f"POST {chance.choice(_PATHS)} HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\n".encode()
    chunks = b"".join(chance.choices(_CHUNKS, k=chance.randrange(1, 4)))
    request = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
    return Talk("chunks", (request,), chance.choice((Ending.SEE, Ending.SHUT, Ending.RESET)))


def _half(chance: random.Random) -> Talk:
    """A request of which only a part comes before its client is gone."""
    path, body, content_type = _document(chance)
    request = posted(path, body, content_type)
    cut = chance.randrange(len(request))
    ending = chance.choice((Ending.LEAVE, Ending.RESET, Ending.SHUT))
    return Talk("half a request", (request[:cut],), ending)


def _unread(chance: random.Random) -> Talk:
    """A whole request whose client does not wait for the answer."""
    path, body, content_type = _document(chance)
    ending = chance.choice((Ending.LEAVE, Ending.RESET))
    return Talk("answer not awaited", (posted(path, body, content_type),), ending)


def _pipelined(chance: random.Random) -> Talk:
    """Many requests at once, the last ones bad."""
    good = b"GET /leader HTTP/1.1\r\nHost: x\r\n\r\n" * chance.choice((1, 3, 40, 400))
    return Talk("pipelined", (good + _head(chance) + noise(chance),))


def _raw(chance: random.Random) -> Talk:
    data = chance.choice(_OTHER_PROTOCOLS) if chance.random() < 0.5 else noise(chance)
    return Talk("no HTTP", (data,), chance.choice((Ending.SEE, Ending.SHUT, Ending.RESET)))


# Megabytes


def _chunked(path: str, chunk: bytes, count: int) -> tuple[bytes, ...]:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nConnection: close\r\n"
    piece = b"%x\r\n%b\r\n" % (len(chunk), chunk)
    return (f"{head}Transfer-Encoding: chunked\r\n\r\n".encode(), *(piece,) * count, b"0\r\n\r\n")


HEAVY: tuple[Talk, ...] = (
    Talk("35 MiB", _chunked("/commit", b" " * MIB, 35), heavy=True),
    Talk("35 MiB", _chunked("/", b"[" * MIB, 35), heavy=True),
    Talk("17 MiB of SSZ", (posted("/commit-unsafe-payload", bytes(17 * MIB), SSZ),), heavy=True),
    Talk(
        "16 MiB of SSZ",
        (posted("/commit-unsafe-payload", bytes(16 * MIB), SSZ),),
        Ending.WAIT,
        heavy=True,
    ),
    Talk("deep JSON", (posted("/", b"[" * (4 * MIB)),), Ending.WAIT, heavy=True),
    Talk("deep JSON", (posted("/commit", b'{"payload":' * MIB),), Ending.WAIT, heavy=True),
    Talk("batch", (posted("/", b"[" + b"{}," * MIB + b"{}]"),), Ending.WAIT, heavy=True),
    Talk(
        "batch",
        (posted("/", as_bytes([{"jsonrpc": "2.0", "id": "x" * 20_000, "method": "a"}] * 99)),),
        Ending.WAIT,
        heavy=True,
    ),
    Talk(
        "payload of 8 MiB",
        (
            posted(
                "/commit", as_bytes({"payload": a_document(transactions=["0x" + "0" * 8 * MIB])})
            ),
        ),
        Ending.WAIT,
        heavy=True,
    ),
    Talk("tiny chunks", _chunked("/commit", b" ", 20_000), Ending.WAIT, heavy=True),
    Talk("gzip", (posted("/", gzip.compress(bytes(64 * MIB)), JSON, b"Content-Encoding: gzip"),)),
    Talk("endless head", (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200_000,), heavy=True),
    Talk("endless line", (b"GET /" + b"a" * (4 * MIB),), heavy=True),
)


def _heavy(chance: random.Random) -> Talk:
    return chance.choice(HEAVY)


_KINDS: Sequence[tuple[int, Callable[[random.Random], Talk]]] = (
    (480, _bad_document),
    (40, _wrong_path),
    (40, _other_content),
    (30, _slow),
    (150, _bad_head),
    (70, _bad_chunks),
    (70, _half),
    (40, _unread),
    (20, _pipelined),
    (58, _raw),
    (2, _heavy),
)
"""In thousandths of all inputs."""


def http_talk(chance: random.Random) -> Talk:
    """One input for the HTTP port."""
    weights = [weight for weight, _ in _KINDS]
    ((_, make),) = chance.choices(_KINDS, weights)
    return make(chance)
