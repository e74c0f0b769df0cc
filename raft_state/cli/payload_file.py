"""The file that a payload is written to: a new one, a replaced one, or a pipe that is there.

Invariant: nothing that belongs to a node's state is ever written or replaced, and nothing at all is
replaced that is no regular file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from conductor.errors import Refused


def require_writable(out: Path, nodes: Iterable[Path], *, force: bool) -> None:
    """Refused when the file must not be written: `nodes` are directories whose state was read."""
    place = out.parent.resolve()
    inside = {place, *place.parents}
    of_node = next((node for node in nodes if node.resolve() in inside), None)
    of_node = of_node or next(filter(_holds_database, inside), None)
    if out.name.lower() in _databases() or of_node is not None:
        where = "is the name of a database of Raft" if of_node is None else f"is inside {of_node}"
        raise Refused(f"--out {out} {where}: nothing is written there, name another file")
    if is_stream(out) or not os.path.lexists(out):
        return
    if out.is_symlink():
        raise Refused(f"--out {out} is a symbolic link: name the file that is meant")
    if not out.is_file():
        raise Refused(f"--out {out} is neither a file nor a pipe and is left as it is")
    if not force:
        raise Refused(f"--out {out} exists already and is left as it is: --force replaces it")


def write_payload(out: Path, data: bytes, *, force: bool) -> None:
    """Write it: into a pipe or terminal that is there, else as a whole new file. StoreError."""
    from raft_state.bolt import new_file

    if is_stream(out):
        # Neither made nor cut off, should it be another thing by now.
        with os.fdopen(os.open(out, os.O_WRONLY), "wb") as stream:
            stream.write(data)
        return
    with new_file(out, replace=force) as stream:
        stream.write(data)


def is_stream(out: Path) -> bool:
    """Whether it is a pipe, or a device without blocks such as a terminal: never replaced."""
    try:
        mode = out.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def _databases() -> tuple[str, ...]:
    # Imported here so that `--help` waits for nothing.
    from raft_state.node import DATABASES

    return DATABASES


def _holds_database(directory: Path) -> bool:
    return any(os.path.lexists(directory / name) for name in _databases())
