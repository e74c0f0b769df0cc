"""What the programs exit with: the one table, for scripts to rely on.

Invariant: every error of `conductor.errors` has a code here, its own or that of the nearest class
above it.
"""

from __future__ import annotations

import enum

from conductor import errors


class ExitCode(enum.IntEnum):
    """Part of the interface: numbers never change their meaning."""

    OK = 0
    ERROR = 1
    USAGE = 2
    """The command line, the environment or the configuration file is at fault."""
    DEGRADED = 3
    """There is a leader, but a voter is unreachable or not serving."""
    NO_LEADER = 4
    """No leader, or no quorum."""
    REFUSED = 5
    """Understood and turned down; nothing was changed."""
    UNREACHABLE = 6
    """No answer, or none in time."""
    STORE_REFUSED = 7
    """The data directory cannot be used as it is."""
    INTERRUPTED = 130
    """Ctrl-C: what shells report for it."""


CODES: dict[type[errors.ConductorError], ExitCode] = {
    errors.ConductorError: ExitCode.ERROR,
    errors.ConfigError: ExitCode.USAGE,
    errors.RequestError: ExitCode.USAGE,
    errors.NotFound: ExitCode.ERROR,
    errors.Unauthenticated: ExitCode.REFUSED,
    errors.Stale: ExitCode.REFUSED,
    errors.Refused: ExitCode.REFUSED,
    errors.OutcomeUnknown: ExitCode.UNREACHABLE,
    errors.LeadershipLost: ExitCode.NO_LEADER,
    errors.Unavailable: ExitCode.NO_LEADER,
    errors.PeerUnreachable: ExitCode.UNREACHABLE,
    errors.PeerRejected: ExitCode.REFUSED,
    errors.StoreError: ExitCode.STORE_REFUSED,
}


def exit_code_of(error: errors.ConductorError) -> ExitCode:
    """The code for an error: that of its own class, or of the nearest base with one."""
    return next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)
