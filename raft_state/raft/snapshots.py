"""The directory `snapshots/` of a node: what Raft finds in it, and how a snapshot gets into it.

Law: a snapshot that this module writes is either whole under its name or, after a crash, a `.tmp`
directory that Raft ignores. Listing follows Raft: what it would skip is named with the reason, and
what it would list but fail to load has a problem.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conductor.errors import InvalidArgument, StoreError, StoreFull
from conductor.payload import PAYLOAD_SSZ_BYTES_MAX
from raft_state.raft.commands import CommandPayload, decode_command
from raft_state.raft.configurations import (
    Configuration,
    configuration_of_peers,
    decode_peers,
    encode_peers,
)
from raft_state.raft.crc64 import crc64
from raft_state.raft.damage import EncodingDamaged
from raft_state.raft.keys import shown
from raft_state.raft.snapshot_meta import (
    CRC_BYTES,
    VERSIONS,
    SnapshotMeta,
    meta_text,
    parse_meta,
)

STATE_FILE = "state.bin"
META_FILE = "meta.json"
UNFINISHED_SUFFIX = ".tmp"

META_BYTES_MAX = 4 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
_VERSION = 1
_DIRECTORY_MODE = 0o755
_FILE_MODE = 0o644


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that Raft lists."""

    directory: Path
    meta: SnapshotMeta
    configuration: Configuration
    """The members; of a version 0 those among its peers."""
    state_bytes: int | None
    """The size of the state file; None when there is none. 0 stops today's op-conductor."""
    problems: tuple[str, ...] = ()
    """Why Raft cannot load it. If that is so for all it lists, it does not start."""
    remarks: tuple[str, ...] = ()
    """What is odd about it but does not keep Raft from loading it."""

    @property
    def state_path(self) -> Path:
        """The file with the state."""
        return self.directory / STATE_FILE

    def read_state(self) -> bytes:
        """The whole state. StoreError when it cannot be read or is too large for any payload."""
        if (self.state_bytes or 0) > PAYLOAD_SSZ_BYTES_MAX:
            raise StoreError(f"{self.state_path}: {self.state_bytes} bytes are no payload")
        with _mapped_errors(self.state_path):
            return self.state_path.read_bytes()

    def payload(self) -> CommandPayload:
        """The payload in the state. StoreError when the state cannot be read."""
        return decode_command(self.read_state(), all_transactions=True)


@dataclass(frozen=True, slots=True)
class Ignored:
    """Something beside the snapshots that Raft passes over."""

    path: Path
    reason: str
    is_finished: bool
    """Whether it is a finished snapshot: then Raft silently starts without the state in it."""


@dataclass(frozen=True, slots=True)
class SnapshotListing:
    """All that is in a directory of snapshots."""

    directory: Path
    listed: tuple[Snapshot, ...] = ()
    """Newest first: by term, index, name. op-conductor keeps, and tries, only the first."""
    ignored: tuple[Ignored, ...] = ()
    """By name."""

    @property
    def usable(self) -> tuple[Snapshot, ...]:
        """Those that Raft could load, newest first."""
        return tuple(snapshot for snapshot in self.listed if not snapshot.problems)


def list_snapshots(snapshots_dir: Path, *, check_state: bool = True) -> SnapshotListing:
    """What Raft finds in a directory of snapshots; one that does not exist holds none.

    `check_state` reads each state whole to compare its checksum, as Raft does before it loads one.
    StoreError when the directory cannot be read.
    """
    with _mapped_errors(snapshots_dir):
        try:
            paths = sorted(snapshots_dir.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return SnapshotListing(snapshots_dir)
        found = [_examine(path, check_state) for path in paths]
    listed = [snapshot for snapshot in found if isinstance(snapshot, Snapshot)]
    listed.sort(key=lambda s: (s.meta.term, s.meta.index, s.meta.snapshot_id), reverse=True)
    ignored = tuple(other for other in found if isinstance(other, Ignored))
    return SnapshotListing(snapshots_dir, tuple(listed), ignored)


def write_snapshot(
    snapshots_dir: Path,
    *,
    index: int,
    term: int,
    configuration: Configuration,
    configuration_index: int,
    state: bytes | memoryview,
    unix_ms: int,
) -> Path:
    """Write a snapshot and return its directory, which is durable then. `unix_ms` is in its name.

    InvalidArgument when there is one of this name, StoreError when it cannot be written; either way
    nothing is left behind.
    """
    snapshot_id = f"{term}-{index}-{unix_ms}"
    meta = SnapshotMeta(
        version=_VERSION,
        snapshot_id=snapshot_id,
        index=index,
        term=term,
        configuration=configuration,
        configuration_index=configuration_index,
        peers=encode_peers(server.address for server in configuration.voters),
        size=len(state),
        crc=crc64(state).to_bytes(CRC_BYTES, "big"),
    )
    text = meta_text(meta).encode()
    finished = snapshots_dir / snapshot_id
    unfinished = snapshots_dir / (snapshot_id + UNFINISHED_SUFFIX)
    for path in (finished, unfinished):
        if os.path.lexists(path):
            raise InvalidArgument(f"{path} is there already")
    with _mapped_errors(unfinished):
        unfinished.mkdir(_DIRECTORY_MODE)
        try:
            _write_durably(unfinished / STATE_FILE, state)
            _write_durably(unfinished / META_FILE, text)
            _sync_directory(unfinished)
            unfinished.rename(finished)
        except OSError:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        _sync_directory(snapshots_dir)
    return finished


def _examine(path: Path, check_state: bool) -> Snapshot | Ignored:
    """One entry of the directory, in Raft's order of checks."""
    if path.is_symlink() or not path.is_dir():
        return Ignored(path, "no directory", is_finished=False)
    if path.name.endswith(UNFINISHED_SUFFIX):
        return Ignored(path, "unfinished: its writing was interrupted", is_finished=False)
    try:
        meta = parse_meta(_read_meta(path / META_FILE))
    except EncodingDamaged as error:
        return Ignored(path, f"{META_FILE} cannot be read: {error}", is_finished=True)
    except OSError as error:
        return Ignored(path, f"{META_FILE} cannot be read: {error.strerror}", is_finished=True)
    if meta.version not in VERSIONS:
        return Ignored(path, f"unknown version {meta.version}", is_finished=True)
    return _judged(path, meta, check_state)


def _judged(path: Path, meta: SnapshotMeta, check_state: bool) -> Snapshot:
    problems = []
    remarks = []
    configuration = meta.configuration or Configuration()
    if meta.snapshot_id != path.name:
        problems.append(f"it says that its name is {shown(meta.snapshot_id)}")
    if meta.version == 0:
        try:
            configuration = configuration_of_peers(decode_peers(meta.peers))
        except EncodingDamaged as error:
            problems.append(f"its peers cannot be read: {error}")
    state_path = path / STATE_FILE
    state_bytes: int | None = None
    try:
        state_bytes = _regular_file_bytes(state_path)
        if check_state and (crc := _crc_of_file(state_path)) != meta.crc:
            stored = meta.crc.hex() if meta.crc is not None else "none"
            problems.append(f"{STATE_FILE} has the checksum {crc.hex()}, {META_FILE} says {stored}")
    except OSError as error:
        problems.append(f"{STATE_FILE} cannot be read: {error.strerror}")
    if state_bytes is not None and state_bytes != meta.size:
        remarks.append(f"{STATE_FILE} has {state_bytes} bytes, {META_FILE} says {meta.size}")
    return Snapshot(path, meta, configuration, state_bytes, tuple(problems), tuple(remarks))


def _read_meta(path: Path) -> bytes:
    if _regular_file_bytes(path) > META_BYTES_MAX:
        raise EncodingDamaged(META_BYTES_MAX, "it is far too long")
    return path.read_bytes()


def _regular_file_bytes(path: Path) -> int:
    """The size of a file; an OSError for what could block or has no end."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    return status.st_size


def _crc_of_file(path: Path) -> bytes:
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            crc = crc64(chunk, crc)
    return crc.to_bytes(CRC_BYTES, "big")


def _write_durably(path: Path, data: bytes | memoryview) -> None:
    with path.open("xb") as file:
        os.fchmod(file.fileno(), _FILE_MODE)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _mapped_errors(path: Path) -> Iterator[None]:
    """Turn errors of the operating system into a StoreError that names the path."""
    try:
        yield
    except OSError as error:
        kind = StoreFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreError
        raise kind(f"{error.filename or path}: {error.strerror or error}") from error
