"""`GET /metrics`: the page that Prometheus scrapes. What is on it is not known here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

METRICS_PATH = "/metrics"

Scrape = Callable[[str], Awaitable[tuple[bytes, str]]]
"""The page and its content type, for a client with that Accept header. Overloaded."""


def metrics_route(scrape: Scrape) -> web.RouteDef:
    """The path, over whatever makes the page."""

    async def serve(request: web.Request) -> web.Response:
        accept = ",".join(request.headers.getall("Accept", ()))
        page, content_type = await scrape(accept)
        return web.Response(body=page, headers={"Content-Type": content_type})

    return web.get(METRICS_PATH, serve)
