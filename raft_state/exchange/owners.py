"""Gives new files and directories to whom the old ones belonged.

Reason to exist: state is mended by an administrator and used by a conductor, which opens nothing
that is not its own.
"""

from __future__ import annotations

import os
from pathlib import Path

_SPECIAL_BITS = 0o7000
"""Such as the set-group-id bit, which a new directory has from the one above."""


def give(path: Path, mode: int, user_id: int, group_id: int) -> bool:
    """Set mode and owner, durably; whether the owner could be set. OSError for all else."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    given = True
    try:
        status = os.fstat(descriptor)
        if (status.st_uid, status.st_gid) != (user_id, group_id):
            try:
                os.fchown(descriptor, user_id, group_id)
            except PermissionError:
                given = False
        os.fchmod(descriptor, mode | status.st_mode & _SPECIAL_BITS)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return given
