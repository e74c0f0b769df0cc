"""How answers and errors look over HTTP.

Invariant: every error body of the REST interface is JSON with `error` for people and `code` for
programs. The two paths that clients of Go op-conductors use answer errors as those do: plain text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec
from aiohttp import web

from conductor.api.error_map import Failure

JSONRPC_PATH = "/"
COMMIT_PATH = "/commit"
COMMIT_SSZ_PATH = "/commit-unsafe-payload"

JSON = "application/json"

_COMMIT_SSZ_STATUSES = frozenset({400, 403, 405, 408, 413, 415})
"""Statuses about the request; whatever befalls the commit itself is a 500 there."""


def json_answer(document: object, status: int = 200) -> web.Response:
    """A document as JSON."""
    return web.Response(body=msgspec.json.encode(document), status=status, content_type=JSON)


def text_answer(text: str, status: int) -> web.Response:
    """An error as Go's `http.Error` writes it."""
    return web.Response(
        text=f"{text}\n", status=status, headers={"X-Content-Type-Options": "nosniff"}
    )


def shown(header: str) -> str:
    """The value of a header, for the text of an error: bytes of it that are no UTF-8 come escaped.

    aiohttp holds those as lone surrogates, which no text that is sent can have.
    """
    return header.encode(errors="backslashreplace").decode()


def failure_answer(path: str, failure: Failure) -> web.Response:
    """The error in the look of the path that was asked."""
    return _LOOKS.get(path, _rest)(failure)


def _rest(failure: Failure) -> web.Response:
    document = {"error": failure.message, "code": failure.code}
    return json_answer(document, failure.wire.http_status)


def _commit(failure: Failure) -> web.Response:
    document = {
        "success": False,
        "error": failure.message,
        "code": failure.code,
        "outcome": failure.wire.outcome,
    }
    return json_answer(document, failure.wire.http_status)


def _commit_ssz(failure: Failure) -> web.Response:
    status = failure.wire.http_status
    return text_answer(failure.message, status if status in _COMMIT_SSZ_STATUSES else 500)


def _jsonrpc(failure: Failure) -> web.Response:
    return text_answer(failure.message, failure.wire.http_status)


_LOOKS: Mapping[str, Callable[[Failure], web.Response]] = MappingProxyType(
    {JSONRPC_PATH: _jsonrpc, COMMIT_PATH: _commit, COMMIT_SSZ_PATH: _commit_ssz}
)
