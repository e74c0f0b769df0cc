"""What a backup says of itself: `manifest.json`, written, read and never believed without a check.

Invariant: a manifest that `read_manifest` returns is whole (its own digest fits) and names only
plain files inside its own nodes, so nothing in it can lead a restore out of a directory.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from conductor.errors import StoreDamaged, StoreMismatch
from raft_state.node import LOG_FILE, SNAPSHOTS, STABLE_FILE

MANIFEST_FILE = "manifest.json"
FORMAT = "op-conductor-init raft backup"
VERSION = 1

MANIFEST_BYTES_MAX = 64 * 1024 * 1024
"""More than a cluster can need; what is larger is no manifest."""

Count = Annotated[int, msgspec.Meta(ge=0)]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Mode = Annotated[str, msgspec.Meta(pattern="^0[0-7]{3}$")]
Layout = Literal["node", "cluster"]
"""What `--state-dir` named: one node's directory, or the directory of a whole cluster."""
Source = Literal["stopped", "live"]
"""Whether nothing wrote during the copy, or a running conductor may have."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """Who owned a file or directory, and what they might do with it."""

    mode: Mode
    """Octal, as `chmod` takes it."""
    user_id: Count
    group_id: Count


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of a node, by its path from the node's directory, with slashes."""

    path: str
    size_bytes: Count
    sha256: Sha256 | None
    """None only in backups of the Go tool, which kept no checksums."""
    permissions: Permissions


@dataclass(frozen=True, slots=True)
class LogRange:
    """The entries of a log; `first_index` is 0 when there are none."""

    first_index: Count
    last_index: Count
    last_term: Count | None
    """None when there is no last entry, or it cannot be read."""
    entries: Count


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """One snapshot that Raft would use."""

    snapshot_id: str
    index: Count
    term: Count


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node's files say, as far as they can be read."""

    current_term: Count | None = None
    last_vote_term: Count | None = None
    last_vote_candidate: str | None = None
    log: LogRange | None = None
    snapshots: tuple[SnapshotRecord, ...] = ()
    """Those that Raft could load, newest first."""

    @property
    def position(self) -> tuple[int, int]:
        """Term and index of the newest entry, in log or snapshot: Raft's order of who is ahead."""
        positions = [(snapshot.term, snapshot.index) for snapshot in self.snapshots]
        if self.log is not None:
            positions.append((self.log.last_term or 0, self.log.last_index))
        return max(positions, default=(0, 0))


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One node in a backup. Its files are in the folder of the backup that its id names."""

    server_id: str
    source: Source
    permissions: Permissions
    """Of the node's directory."""
    facts: NodeFacts
    files: tuple[FileRecord, ...]
    problems: tuple[str, ...] = ()
    """Why Raft cannot run on it; not empty only when it was saved with `--allow-damaged`."""
    left_out: tuple[str, ...] = ()
    """What was in the directory and is not in the backup, each with the reason."""

    @property
    def size_bytes(self) -> int:
        """Of all its files."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole backup."""

    format: str
    version: int
    tool_version: str
    created_at: str
    """ISO 8601, UTC."""
    source: str
    """The absolute path that was saved."""
    layout: Layout
    nodes: tuple[NodeRecord, ...]

    @property
    def size_bytes(self) -> int:
        """Of all files of all nodes."""
        return sum(node.size_bytes for node in self.nodes)


def encode_manifest(manifest: Manifest) -> bytes:
    """The bytes of `manifest.json`: for people to read, with a digest of themselves at the end."""
    document = dataclasses.asdict(manifest)
    document["digest"] = _digest(document)
    return (json.dumps(document, indent=2) + "\n").encode()


def read_manifest(path: Path) -> Manifest:
    """Read and judge `manifest.json`. StoreDamaged, StoreMismatch (of a later tool), OSError."""
    with path.open("rb") as file:
        data = file.read(MANIFEST_BYTES_MAX + 1)
    if len(data) > MANIFEST_BYTES_MAX:
        raise StoreDamaged(f"{path}: over {MANIFEST_BYTES_MAX} bytes: not a manifest")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise StoreDamaged(f"{path}: not a manifest: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise StoreDamaged(f"{path}: not the manifest of a Raft backup")
    version = document.get("version")
    if version != VERSION:
        raise StoreMismatch(
            f"{path}: version {version!r} of the format, and only {VERSION} is known here: "
            "restore it with the op-conductor-init that made it, or a later one"
        )
    if document.pop("digest", None) != _digest(document):
        raise StoreDamaged(f"{path}: changed since it was written: its digest does not fit")
    try:
        manifest = msgspec.convert(document, Manifest)
    except msgspec.ValidationError as error:
        raise StoreDamaged(f"{path}: not a manifest: {error}") from error
    problem = next(_contradictions(manifest), None)
    if problem is not None:
        raise StoreDamaged(f"{path}: {problem}")
    return manifest


def permissions_of(status: os.stat_result) -> Permissions:
    """Mode and owner as a manifest keeps them; special bits are not kept."""
    return Permissions(f"0{status.st_mode & 0o777:03o}", status.st_uid, status.st_gid)


def is_folder_name(name: str) -> bool:
    """Whether a server id can name a folder, and no other than one of its own."""
    return bool(name) and name not in {".", ".."} and not re.search(r"[/\x00]", name)


def is_state_path(path: str) -> bool:
    """Whether it is one of a node's files: a database, or a file of one snapshot."""
    parts = path.split("/")
    if len(parts) == 1:
        return path in (LOG_FILE, STABLE_FILE)
    return len(parts) == 3 and parts[0] == SNAPSHOTS and all(map(is_folder_name, parts))


def _digest(document: dict[str, Any]) -> str:
    """SHA-256 of the document without its digest, in the one form that spaces do not change."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _contradictions(manifest: Manifest) -> Iterator[str]:
    """What no backup of ours says, one sentence each."""
    ids = [node.server_id for node in manifest.nodes]
    if not ids or len(set(ids)) != len(ids):
        yield "no nodes, or one of them twice"
    if manifest.layout == "node" and len(ids) != 1:
        yield f"the backup of one node with {len(ids)} nodes in it"
    for node in manifest.nodes:
        if not is_folder_name(node.server_id):
            yield f"server id {node.server_id!r} cannot be a folder's name"
        paths = [file.path for file in node.files]
        if len(set(paths)) != len(paths):
            yield f"{node.server_id}: one file twice"
        for file in node.files:
            if not is_state_path(file.path):
                yield f"{node.server_id}: {file.path!r} is no file of a Raft node"
            if file.sha256 is None:
                yield f"{node.server_id}: {file.path} has no checksum"
