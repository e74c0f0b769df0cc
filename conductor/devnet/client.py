"""Calls one conductor's HTTP gateway, as op-node, its operator and a health check do.

Invariant: every call ends within its deadline, with what it asked for or one error: a commit with
OutcomeUnknown, all others with PeerUnreachable. A sequencer acts alike whatever the reason.
"""

from __future__ import annotations

import http
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import msgspec

from conductor.config import Address
from conductor.errors import ConductorError, OutcomeUnknown, PeerUnreachable, RequestError
from conductor.payload import ssz_from_json

CALL_TIMEOUT_MS = 1000

_TEXT_SHOWN_MAX = 200


class Health(msgspec.Struct, frozen=True):
    """What `GET /health` says; the rest of the answer is not needed here."""

    healthy: bool
    epoch: int
    is_leader: bool
    certified_height: int


class _RpcError(msgspec.Struct):
    message: str


class _RpcAnswer(msgspec.Struct):
    result: Any = None
    error: _RpcError | None = None


class ConductorClient:
    """The gateway of one conductor."""

    def __init__(self, session: aiohttp.ClientSession, gateway: Address) -> None:
        self._session = session
        self._url = f"http://{gateway}"

    async def is_leader(self) -> bool:
        """`conductor_leader`: what op-node asks before it starts."""
        with _mapped_errors(PeerUnreachable):
            return msgspec.convert(await self._call(b"conductor_leader", b""), bool)

    async def commit(self, envelope_json: bytes) -> None:
        """`conductor_commitUnsafePayload`, once. Returning means: certified."""
        with _mapped_errors(OutcomeUnknown):
            await self._call(b"conductor_commitUnsafePayload", envelope_json)

    async def latest(self) -> bytes | None:
        """The newest certified payload as SSZ, by a linearizable read; None when there is none."""
        with _mapped_errors(PeerUnreachable):
            url = f"{self._url}/latest?consistent=true"
            async with self._session.get(url, timeout=_timeout()) as response:
                body = await response.read()
                if response.status == http.HTTPStatus.NOT_FOUND:
                    return None
                _require_ok(response, body)
            return ssz_from_json(body)

    async def health(self) -> Health:
        """`GET /health`, which answers also when the node does not serve."""
        with _mapped_errors(PeerUnreachable):
            url = f"{self._url}/health"
            async with self._session.get(url, timeout=_timeout()) as response:
                return msgspec.json.decode(await response.read(), type=Health)

    async def _call(self, method: bytes, param: bytes) -> Any:
        # Put together by hand: an envelope may have megabytes and is JSON already.
        body = b'{"jsonrpc":"2.0","id":1,"method":"%b","params":[%b]}' % (method, param)
        headers = {"Content-Type": "application/json"}
        # As a file, since aiohttp warns of large bodies that are handed over whole.
        data = io.BytesIO(body)
        request = self._session.post(
            f"{self._url}/", data=data, headers=headers, timeout=_timeout()
        )
        async with request as response:
            answer = await response.read()
            _require_ok(response, answer)
        decoded = msgspec.json.decode(answer, type=_RpcAnswer)
        if decoded.error is not None:
            raise RequestError(decoded.error.message)
        return decoded.result


def _timeout() -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=CALL_TIMEOUT_MS / 1000)


def _require_ok(response: aiohttp.ClientResponse, body: bytes) -> None:
    if response.status != http.HTTPStatus.OK:
        text = body[:_TEXT_SHOWN_MAX].decode(errors="replace")
        raise RequestError(f"HTTP {response.status}: {text}")


@contextmanager
def _mapped_errors(kind: type[ConductorError]) -> Iterator[None]:
    """Make every way in which a call can fail the one error that the caller handles."""
    try:
        yield
    except TimeoutError as error:
        raise kind(f"no answer within {CALL_TIMEOUT_MS} ms") from error
    except (aiohttp.ClientError, msgspec.DecodeError, RequestError) as error:
        raise kind(str(error)) from error
