"""What gRPC's Python side logs of calls that never reach a handler, or whose client is gone.

Law: what clients do wrong there is no error of this node. Left to itself, gRPC logs a traceback for
each path or header that is no UTF-8 and for each answer that nobody takes any more, so that anyone
could fill the log of a node from outside; some of them it prints to stderr once more.
"""

from __future__ import annotations

import logging
import sys
import traceback

import grpc
import structlog

logger = structlog.get_logger(__name__)

GRPC_MODULE = f"{grpc.__name__}._cython.cygrpc"
"""The name of its logger, too."""

_CLIENT_GONE = "ExecuteBatchError"
"""The core could not carry out what it was told: for a server, the call has ended meanwhile."""


class ClientFaults(logging.Filter):
    """Keeps them out of gRPC's log and says each in a line of ours, for those who look closely."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is about anything else."""
        error = record.exc_info[1] if record.exc_info else None
        text = record.getMessage()
        # An RPC of ours has a name in ASCII, and its errors are ours.
        is_no_text = isinstance(error, UnicodeDecodeError) and (
            text.startswith("Invalid encoding on ") or not text.isascii()
        )
        if not is_no_text and type(error).__name__ != _CLIENT_GONE:
            return True
        logger.debug("grpc_refused", error=text)
        return False


class _LoggedTraceback:
    """The module `traceback` for gRPC: what it prints, it has logged before."""

    def __getattr__(self, name: str) -> object:
        return getattr(traceback, name)

    def print_exc(self) -> None:
        """Nothing."""


def refuse_quietly() -> None:
    """From now on clients' faults are no errors in the log of this process."""
    grpc_logger = logging.getLogger(GRPC_MODULE)
    if not any(isinstance(present, ClientFaults) for present in grpc_logger.filters):
        grpc_logger.addFilter(ClientFaults())
    vars(sys.modules[GRPC_MODULE])["traceback"] = _LoggedTraceback()
