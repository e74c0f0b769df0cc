"""The HTTP gateway: one listener for JSON-RPC and REST, and the edge where errors become answers.

Invariant: a request ends in an answer or a closed connection, within bounded time. No CORS headers
are sent, and what a browser posts on behalf of another site is refused: nothing guards this port.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable

from aiohttp import web

from conductor.api.bounds import Admission, Bounds
from conductor.api.calls import LastingCalls
from conductor.api.error_map import WIRE_ERRORS, Failure, failure_of
from conductor.api.http_answers import JSON, JSONRPC_PATH, failure_answer, shown
from conductor.api.http_log import HttpLog
from conductor.api.jsonrpc import JsonRpc
from conductor.api.jsonrpc_method import Services
from conductor.api.metrics_page import Scrape, metrics_route
from conductor.api.rest import Rest
from conductor.config import Limits
from conductor.errors import NotFound, Overloaded, RequestError
from conductor.service import Conductor

JSONRPC_CONTENT_TYPES = frozenset({JSON, "application/json-rpc", "application/jsonrequest"})

KEEPALIVE_S = 120
"""How long a client may keep an idle connection: as long as at the Go server."""

SHUTDOWN_S = 1
"""How long requests may still run when the node stops."""

Handler = Callable[[web.Request], Awaitable[web.Response]]


def create_gateway(
    conductor: Conductor,
    limits: Limits,
    bounds: Bounds | None = None,
    scrape: Scrape | None = None,
) -> web.Application:
    """The application that serves a conductor over HTTP; whoever runs it opens the port.

    `scrape` makes the page of `/metrics`; without it there is no such path.
    Paths, bodies and answers: `docs/api.md`.
    """
    admission = Admission(bounds or Bounds())
    calls = LastingCalls()
    application = web.Application(
        client_max_size=limits.json_body_bytes_max, middlewares=[_edge(admission)]
    )
    application.add_routes(Rest(conductor, calls, admission, limits).routes())
    jsonrpc = JsonRpc(Services(conductor, calls, admission.payload_reads))
    serve = _jsonrpc_handler(jsonrpc, admission, limits.json_body_bytes_max)
    application.router.add_route("*", JSONRPC_PATH, serve)
    if scrape is not None:
        application.add_routes([metrics_route(scrape)])
    return application


def gateway_runner(application: web.Application) -> web.AppRunner:
    """What runs it: aiohttp's server, told what the gateway relies on."""
    return web.AppRunner(
        application,
        access_log=None,
        logger=HttpLog(),
        # A small compressed body could become a large one; `bounds` refuses them all.
        auto_decompress=False,
        keepalive_timeout=KEEPALIVE_S,
        shutdown_timeout=SHUTDOWN_S,
    )


def _edge(admission: Admission) -> Callable[..., Awaitable[web.Response]]:
    """What every request passes: a place among others, then its answer within its deadline."""

    @web.middleware
    async def edge(request: web.Request, handler: Handler) -> web.Response:
        try:
            with admission.request():
                answer = await _answer(request, handler)
                await admission.deliver(request, answer)
                return answer
        except Overloaded as error:
            return failure_answer(request.path, failure_of(error, request.path))

    return edge


async def _answer(request: web.Request, handler: Handler) -> web.Response:
    """The answer of the handler, or to its error. This is the edge: nothing gets past it."""
    try:
        _refuse_other_sites(request)
        return await handler(request)
    except web.HTTPException as error:
        answer = failure_answer(request.path, _http_failure(error))
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer
    except Exception as error:
        return failure_answer(request.path, failure_of(error, f"{request.method} {request.path}"))


def _http_failure(error: web.HTTPException) -> Failure:
    """What is wrong with a request as HTTP."""
    texts = {404: "there is nothing at this path", 405: "method not allowed"}
    return Failure(
        code=NotFound.code if error.status == 404 else RequestError.code,
        message=texts.get(error.status) or error.text or error.reason,
        wire=dataclasses.replace(WIRE_ERRORS[RequestError], http_status=error.status),
    )


def _refuse_other_sites(request: web.Request) -> None:
    """A page of any site can make its reader's browser post here; the browser then says so."""
    origin = request.headers.get("Origin")
    if origin is None or request.method in ("GET", "HEAD", "OPTIONS"):
        return
    if origin.partition("://")[2] != request.host:
        raise web.HTTPForbidden(text=f"requests of pages from {shown(origin)} are not taken")


def _jsonrpc_handler(jsonrpc: JsonRpc, admission: Admission, body_bytes_max: int) -> Handler:
    """What go-ethereum's HTTP server does before and after it looks into a body."""

    async def serve(request: web.Request) -> web.Response:
        if request.method == "GET" and not request.body_exists and not request.query_string:
            return web.Response()
        if request.method in ("PUT", "DELETE"):
            raise web.HTTPMethodNotAllowed(request.method, ("GET", "OPTIONS", "POST"))
        if request.method != "OPTIONS" and request.content_type not in JSONRPC_CONTENT_TYPES:
            text = f"invalid content type, only {JSON} is supported"
            raise web.HTTPUnsupportedMediaType(text=text)
        async with admission.body(request, body_bytes_max) as body:
            with admission.memory() as hold:
                return web.Response(body=await jsonrpc.answer(body, hold), content_type=JSON)

    return serve
