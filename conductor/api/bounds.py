"""What callers may take of this node at once: requests, memory and time.

Invariant: whatever clients send or fail to read, the gateway holds at most `requests_max` requests
and `memory_bytes_max` bytes of large bodies and answers; each body and each answer has a deadline.
A request of ordinary size always finds room, so that large ones cannot shut out the small.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import structlog
from aiohttp import web

from conductor.api.http_answers import shown
from conductor.errors import Overloaded, TooLarge

logger = structlog.get_logger(__name__)

MIB = 2**20
SMALL_BYTES = 64 * 1024
"""What each request may hold uncounted."""

CHUNK_OVERHEAD_BYTES = 64
"""What a chunk costs beside its bytes: a client may send them one by one."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of one gateway that do not depend on what it is asked."""

    requests_max: int = 1024
    memory_bytes_max: int = 128 * MIB
    """Of request bodies, and of answers that their clients have not taken yet."""
    payload_reads_max: int = 4
    """Payloads turned into JSON at the same time; more of them wait."""
    body_timeout_ms: int = 30_000
    """For a body to arrive: what the Go server gives it."""
    answer_timeout_ms: int = 30_000
    """For an answer to be taken."""


class Admission:
    """Counts what is in use, and refuses what would go over the bounds."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._requests = 0
        self._memory = _Memory(bounds.memory_bytes_max)
        self.payload_reads = asyncio.Semaphore(bounds.payload_reads_max)

    @contextmanager
    def request(self) -> Iterator[None]:
        """A place for one request. Overloaded when all are taken."""
        if self._requests >= self._bounds.requests_max:
            raise Overloaded(f"{self._requests} requests are being served already")
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    @asynccontextmanager
    async def body(self, request: web.Request, bytes_max: int) -> AsyncIterator[bytes]:
        """The body of a request, which counts until the context is left.

        TooLarge; Overloaded; HTTP 408 when it does not arrive in time, 400 when it breaks off, 415
        when it is compressed.
        """
        encoding = request.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            text = f"content encoding {shown(encoding)} is not supported"
            raise web.HTTPUnsupportedMediaType(text=text)
        _check_length(request.content_length or 0, bytes_max)
        with _Share(self._memory) as share:
            yield await self._collected(request, bytes_max, share)

    async def _collected(self, request: web.Request, bytes_max: int, share: _Share) -> bytes:
        """The body, counted as it comes."""
        chunks: list[bytes] = []
        size = 0
        timeout_ms = self._bounds.body_timeout_ms
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                while chunk := await request.content.readany():
                    chunks.append(chunk)
                    size += len(chunk)
                    _check_length(size, bytes_max)
                    share.grow(size + CHUNK_OVERHEAD_BYTES * len(chunks))
        except TimeoutError:
            raise web.HTTPRequestTimeout(
                text=f"read timeout: the body did not arrive within {timeout_ms} ms"
            ) from None
        except (ConnectionError, web.RequestPayloadError) as error:
            raise web.HTTPBadRequest(text=f"the body broke off: {error}") from error
        return b"".join(chunks)

    @contextmanager
    def memory(self) -> Iterator[Callable[[int], None]]:
        """Counts what an answer takes while it is being made, until the context is left.

        The function is told how many bytes there are now. Overloaded when there is no room.
        """
        with _Share(self._memory) as share:
            yield share.grow

    async def deliver(self, request: web.Request, answer: web.Response) -> None:
        """Send an answer; a client that does not take it in time is cut off. Overloaded."""
        with _Share(self._memory) as share:
            share.grow(answer.content_length or 0)
            try:
                async with asyncio.timeout(self._bounds.answer_timeout_ms / 1000):
                    await answer.prepare(request)
                    await answer.write_eof()
            except TimeoutError:
                if request.transport is not None:
                    request.transport.abort()
            except ConnectionError:
                logger.debug("client_left", path=request.path)


class _Memory:
    """The bytes that all large requests share."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bytes_used = 0


class _Share:
    """What one request holds of it."""

    def __init__(self, memory: _Memory) -> None:
        self._memory = memory
        self._counted = 0

    def __enter__(self) -> _Share:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.bytes_used -= self._counted

    def grow(self, size: int) -> None:
        """The request now holds `size` bytes. Overloaded when there is no room for them."""
        more = max(0, size - SMALL_BYTES) - self._counted
        if self._memory.bytes_used + more > self._memory.bytes_max:
            raise Overloaded("other requests fill the memory there is for large ones")
        self._counted += more
        self._memory.bytes_used += more


def _check_length(size: int, bytes_max: int) -> None:
    """The text is the Go server's."""
    if size > bytes_max:
        raise TooLarge(f"content length too large ({size}>{bytes_max})")
