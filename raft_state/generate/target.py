"""The output directory as it is before anything is written, and whether it may be written to.

Invariant: looking changes nothing. Whatever is not this cluster's is left alone; what is there
under a node's name is replaced only if it is a Raft state, nobody uses it, and that was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conductor.errors import Refused, StoreError
from raft_state.node import DATABASES, GENERATING, STATE_NAMES


@dataclass(frozen=True, slots=True)
class Target:
    """Where node directories are to be, and what is there under their names now."""

    directory: Path
    """The output directory, symbolic links resolved."""
    is_new: bool
    """Whether it is yet to be made."""
    present: tuple[str, ...]
    """The servers that have something under their name: a Raft state, or an empty folder."""
    held: tuple[str, ...]
    """The servers among them whose state would be replaced."""
    leftovers: tuple[Path, ...]
    """Working directories of runs that were killed; they may hold what was to be replaced."""


def examine_target(output_dir: Path, server_ids: Sequence[str], *, force: bool) -> Target:
    """Look at the output directory. Refused: something there must not, or may not, be replaced."""
    directory = Path(os.path.realpath(output_dir))
    if not os.path.lexists(directory):
        return Target(directory, True, (), (), ())
    if not directory.is_dir():
        raise Refused(f"{output_dir} is no directory: name another --output-dir")
    names = names_in(directory)
    if not names.isdisjoint(DATABASES):
        raise Refused(
            f"{output_dir} is a node's own directory, it holds a database: name the directory "
            "above it, or another --output-dir"
        )
    present = tuple(server_id for server_id in server_ids if server_id in names)
    problems = [problem for name in present if (problem := _obstacle(directory / name))]
    if problems:
        raise Refused(f"nothing was written: {'; '.join(problems)}")
    held = tuple(name for name in present if names_in(directory / name))
    if held and not force:
        states = "; ".join(_contents(directory / name) for name in held)
        raise Refused(f"nothing was written, --force would replace what is there: {states}")
    leftovers = tuple(directory / name for name in sorted(names) if name.startswith(GENERATING))
    return Target(directory, False, present, held, leftovers)


def require_writable(target: Target) -> None:
    """StoreError when the system would not let directories be made, or replaced."""
    above = target.directory
    while not os.path.lexists(above):
        above = above.parent
    if not above.is_dir():
        raise StoreError(f"cannot write {target.directory}: Not a directory ({above})")
    for path in (above, *(target.directory / name for name in target.present)):
        if not os.access(path, os.W_OK | os.X_OK):
            raise StoreError(f"cannot write {path}: no permission, or it is mounted read-only")


def names_in(directory: Path) -> set[str]:
    """What is in a directory."""
    return {path.name for path in directory.iterdir()}


def _obstacle(path: Path) -> str:
    """Why nothing may take the place of `path`; empty if it may."""
    if path.is_symlink():
        return f"{path} is a symbolic link: remove it or name another --output-dir"
    if not path.is_dir():
        return f"{path} is no directory: move it away"
    names = names_in(path)
    if names and names.isdisjoint(STATE_NAMES):
        return f"{path} is a directory without a Raft state: move it away"
    return ""


def _contents(directory: Path) -> str:
    return f"{directory} ({', '.join(sorted(names_in(directory)))})"
