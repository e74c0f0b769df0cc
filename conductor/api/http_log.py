"""What aiohttp's server has to log of connections, before a request reaches the gateway's edge.

Law: what clients do wrong there is no error of this node. Left to itself, aiohttp logs a traceback
for every line that is no HTTP, so that anyone could fill the log of a node from outside.
"""

from __future__ import annotations

import structlog
from aiohttp.http_exceptions import HttpProcessingError

logger = structlog.get_logger(__name__)


class HttpLog:
    """Stands for the logger that aiohttp's server wants: these are the methods that it calls."""

    def debug(self, text: str, *arguments: object, exc_info: BaseException | None = None) -> None:
        """Something that aiohttp itself takes lightly."""
        # An error quotes what was sent, and that may be the end of a payload: its kind must do.
        said = type(exc_info).__name__ if exc_info is not None else text % arguments
        logger.debug("http_refused", error=said)

    def exception(
        self, text: str, *arguments: object, exc_info: BaseException | None = None
    ) -> None:
        """An error: of the client, who is told of it, or of ours."""
        if isinstance(exc_info, HttpProcessingError | ConnectionError):
            self.debug(text, *arguments, exc_info=exc_info)
        else:
            logger.error("http_failed", text=text % arguments, exc_info=exc_info)
