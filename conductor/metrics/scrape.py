"""Answers whoever scrapes: a page in one of two formats.

Invariant: the node is looked at on its own thread and in one step, so that a page does not
contradict itself; rendering, which takes milliseconds, happens on a thread that does nothing else,
one page at a time, and whoever waits too long for it is turned away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from prometheus_client import ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from conductor.errors import Overloaded
from conductor.metrics.instruments import Instruments
from conductor.metrics.state import Seen, state_families
from conductor.service import StatusView

SCRAPE_TIMEOUT_S = 5.0

TEXT = "text/plain; version=0.0.4"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a look at the node goes. Called on the event loop; none waits."""

    status: Callable[[], StatusView]
    is_up: Callable[[], bool]
    log_lines_dropped: Callable[[], int]
    messages_rejected: Callable[[], int]


class Metrics:
    """Everything that can be scraped of one node."""

    def __init__(
        self,
        instruments: Instruments,
        sources: Sources,
        *,
        timeout_s: float = SCRAPE_TIMEOUT_S,
    ) -> None:
        self._instruments = instruments
        self._sources = sources
        self._timeout_s = timeout_s
        ProcessCollector(registry=instruments.registry)
        # Not the threads that all share: they may all be waiting for a stuck disk.
        self._renderer = ThreadPoolExecutor(1, "metrics")

    async def scrape(self, accept: str) -> tuple[bytes, str]:
        """The page and its content type, for a client with that Accept header. Overloaded."""
        page = _Page(self._look(), self._instruments)
        encode, content_type = choose_encoder(_format(accept))
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await loop.run_in_executor(self._renderer, encode, page), content_type
        except TimeoutError:
            raise Overloaded(f"no metrics within {self._timeout_s:g} s: too many ask") from None

    def _look(self) -> Seen:
        sources = self._sources
        return Seen(
            status=sources.status(),
            is_up=sources.is_up(),
            log_lines_dropped=sources.log_lines_dropped(),
            messages_rejected=sources.messages_rejected(),
        )

    def close(self) -> None:
        """Render nothing more."""
        self._renderer.shutdown(wait=False, cancel_futures=True)


class _Page(Collector):
    """What the encoders of the library want: something to collect from."""

    def __init__(self, seen: Seen, instruments: Instruments) -> None:
        self._seen = seen
        self._instruments = instruments

    def collect(self) -> Iterator[Metric]:
        yield from state_families(self._seen)
        yield from self._instruments.families()


def _format(accept: str) -> str:
    """The one of our two formats that a client takes, the text format if in doubt.

    `choose_encoder` is given this instead of the header: it compares version numbers, and some that
    a client could make up break it or come back in the content type.
    """
    kinds = {each.partition(";")[0].strip().lower() for each in accept.split(",")}
    return OPEN_METRICS if "application/openmetrics-text" in kinds else TEXT
