"""Makes the store of a server from its Raft state while neither of them runs.

Invariant: a store is made or not, and one that is there is left as it is; of the Raft state nothing
is changed, wherever the store is to be.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from conductor.config import Config
from conductor.core.founding import FoundingVoter
from conductor.core.values import Epoch, Head, ServerId
from conductor.errors import ConfigError, Refused
from conductor.migration.from_raft import Beginning, read_beginning
from conductor.store import has_store, open_store
from raft_state.node import is_node_directory


@dataclass(frozen=True, slots=True)
class FromRaftReport:
    """What a store was made from, or would be."""

    server_id: str
    state_dir: Path
    data_dir: Path
    voters: tuple[FoundingVoter, ...]
    first_epoch: Epoch
    """The first that a leader can have."""
    initial_leader: ServerId | None
    head: Head | None
    """The newest block of this server; the cluster goes on from that of the best log."""
    payload_bytes: int
    remarks: tuple[str, ...]
    is_made: bool
    """False after a dry run."""


def make_store(
    config: Config, state_dir: Path, data_dir: Path, *, dry_run: bool = False
) -> FromRaftReport:
    """Make the store of `config.server_id` in `data_dir`, from what its Raft state says.

    Refused: there is a store. ConfigError, StoreError: as of `read_beginning`, or the data
    directory is inside the Raft state, or in use. After any of them everything is as it was.
    """
    _check_apart(state_dir, data_dir)
    if has_store(data_dir):
        raise Refused(
            f"{data_dir} holds a store already, and only a new one is made from a Raft state: "
            "name another --data-dir, or just start the server on it"
        )
    beginning = read_beginning(config, state_dir, option="--state-dir")
    if not dry_run:
        store = open_store(data_dir, config.server_id, beginning.founding, beginning.payload)
        store.close()
    return _report(config, state_dir, data_dir, beginning, is_made=not dry_run)


def _check_apart(state_dir: Path, data_dir: Path) -> None:
    """ConfigError when the store would get among the files of a Raft state."""
    place = data_dir.resolve()
    inside = [path for path in (place, *place.parents) if is_node_directory(path)]
    if inside:
        raise ConfigError(
            f"--data-dir {data_dir} is in {inside[0]}, the Raft state of a node, in which nothing "
            "is changed: name another directory"
        )
    if place == state_dir.resolve():
        raise ConfigError(
            f"--data-dir {data_dir} is the directory of the Raft states: name another one"
        )


def _report(
    config: Config, state_dir: Path, data_dir: Path, beginning: Beginning, *, is_made: bool
) -> FromRaftReport:
    founding = beginning.founding
    return FromRaftReport(
        server_id=config.server_id,
        state_dir=state_dir,
        data_dir=data_dir,
        voters=founding.voters,
        first_epoch=Epoch(founding.first_promise + 1),
        initial_leader=founding.initial_leader,
        head=beginning.head,
        payload_bytes=len(beginning.payload),
        remarks=beginning.remarks,
        is_made=is_made,
    )
