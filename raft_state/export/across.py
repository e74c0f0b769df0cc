"""Finds a payload where several nodes are asked, and says where they contradict each other.

Law: the newest payload is that of whom Raft would let lead: the highest last term, then the highest
last index. What another node holds against it is told if that rule settles it, and refused if not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from conductor.errors import NotFound, Refused, StoreDamaged
from raft_state.export.in_node import Choice, FoundPayload, find_in_node
from raft_state.node import NodeState, node_directories, open_node, server_id_of
from raft_state.raft import EntryType


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A node that was asked."""

    node: NodeState
    position: tuple[int, int]
    """Raft's order of who is more advanced: last term, last index."""
    found: FoundPayload | None
    missing: str
    """Why nothing was found."""

    @property
    def position_text(self) -> str:
        """Who it is and how far it came."""
        term, index = self.position
        return f"{self.node.server_id} (last entry {index}, term {term})"


def find_payload(state_dir: Path, choice: Choice, *, lock_timeout_s: float = 0.0) -> FoundPayload:
    """Find a payload in one node's directory, or in those of a cluster.

    NotFound: it is not there, and the text says what is. Refused: there are several, and the text
    says how to choose. StoreDamaged: what is there is no payload, or a node cannot be read.
    StoreLocked, other StoreError; InvalidArgument for an index that no entry can have.
    """
    directories = node_directories(state_dir)
    with ExitStack() as opened:
        candidates = []
        for directory in directories:
            with _named_way_out(directory, directories):
                node = opened.enter_context(open_node(directory, lock_timeout_s=lock_timeout_s))
                candidates.append(_ask(node, choice, is_alone=len(directories) == 1))
        found = [each.found for each in candidates if each.found is not None]
        if not found:
            raise NotFound("; ".join(each.missing for each in candidates))
        best = max(each.position for each in candidates)
        leaders = [each for each in candidates if each.position == best]
        if choice == Choice():
            return _newest(leaders, [each for each in candidates if each.position != best])
        _require_agreement(found, "the nodes hold different payloads there")
        newest = next((each.found for each in leaders if each.found is not None), found[0])
        against = _relation(leaders[0], newest)
        return replace(newest, warnings=(against.text,) if against is not None else ())


def _ask(node: NodeState, choice: Choice, *, is_alone: bool) -> _Candidate:
    """StoreDamaged when it cannot be told what the node holds, or how far it came."""
    for failure in node.failures.values():
        if not isinstance(failure, NotFound):
            raise failure
    if node.log is None and node.databases:
        raise StoreDamaged(f"the log of {node.server_id} cannot be read: {_problems(node)}")
    position = (0, 0) if is_alone else _position(node)
    try:
        return _Candidate(node, position, find_in_node(node, choice), "")
    except NotFound as error:
        return _Candidate(node, position, None, str(error))


def _position(node: NodeState) -> tuple[int, int]:
    position = (0, 0)
    for snapshot in node.snapshots.usable[:1]:
        position = snapshot.meta.term, snapshot.meta.index
    last = node.log.last_index if node.log is not None else None
    if node.log is None or last is None or last <= position[1]:
        return position
    stored = node.log.entry(last)
    if stored is None or stored.decoded is None:
        raise StoreDamaged(f"the last entry of {node.server_id}, {last}, cannot be read")
    return stored.decoded.entry.term, last


def _newest(leaders: Sequence[_Candidate], others: Sequence[_Candidate]) -> FoundPayload:
    """That of whom Raft would let lead, with what the others hold against it."""
    with_payload = [each.found for each in leaders if each.found is not None]
    lagging = [each.found for each in others if each.found is not None]
    if len(with_payload) < len(leaders):
        raise Refused(
            f"{leaders[0].position_text} is whom Raft would let lead, and has no payload that "
            f"op-conductor reads, but there are: {_listed([*with_payload, *lagging])}: "
            "name one node's own directory with --state-dir"
        )
    _require_agreement(with_payload, "nodes that could lead alike hold different newest payloads")
    chosen = with_payload[0]
    warnings = []
    for found in lagging:
        against = _relation(leaders[0], found)
        if against is None:
            continue
        if against.is_impossible:
            raise Refused(f"{against.text}: name one node's own directory with --state-dir")
        warnings.append(
            f"{against.text}; to have it all the same, name the directory of {found.server_id} "
            "with --state-dir"
        )
    return replace(chosen, warnings=tuple(warnings))


@dataclass(frozen=True, slots=True)
class _Against:
    """What the most advanced log says against a payload of another node."""

    text: str
    is_impossible: bool
    """Whether no history leaves both."""


def _relation(leader: _Candidate, found: FoundPayload) -> _Against | None:
    """None when the payload is of the leader's own history, as far as that can be told."""
    if found.directory == leader.node.directory:
        return None
    what = _listed([found])
    stored = leader.node.log.entry(found.index) if leader.node.log is not None else None
    if stored is not None and stored.decoded is not None:
        entry = stored.decoded.entry
        if entry.term == found.term:
            is_other = entry.type != EntryType.COMMAND or bytes(entry.data or b"") != found.stored
            if found.is_from_snapshot or not is_other:
                return None
            return _Against(f"{what} is another entry than that of {leader.position_text}", True)
        text = f"{what} is contradicted by {leader.position_text}, whose entry is of term "
        return _judged(f"{text}{entry.term}", found)
    if found.index > leader.position[1]:
        return _judged(f"{what} is not in the log of {leader.position_text}", found)
    mine = leader.found
    if mine is None or (found.height, found.ssz) == (mine.height, mine.ssz):
        return None
    if found.height >= mine.height:
        return _judged(f"{what} is not what {leader.position_text} holds", found)
    return None


def _judged(text: str, found: FoundPayload) -> _Against:
    if found.is_certain:
        return _Against(f"{text}, although it is committed for sure", True)
    return _Against(f"{text}: Raft would let that one lead, and drop the payload", False)


def _require_agreement(found: Sequence[FoundPayload], what: str) -> None:
    """Refused when these payloads are not all the same."""
    if len({each.ssz for each in found}) > 1:
        raise Refused(f"{what}: {_listed(found)}: name one node's own directory with --state-dir")


def _listed(found: Iterable[FoundPayload]) -> str:
    return ", ".join(
        f"{each.server_id} height {each.height} {each.block_hash} (entry {each.index}, "
        f"term {each.term})"
        for each in found
    )


@contextmanager
def _named_way_out(directory: Path, directories: Sequence[Path]) -> Iterator[None]:
    """Damage of one node of several says which others could be asked alone."""
    try:
        yield
    except StoreDamaged as error:
        others = [server_id_of(each) for each in directories if each != directory]
        if not others:
            raise
        raise StoreDamaged(
            f"{error}; to do without {server_id_of(directory)}, which may hold what others do not, "
            f"name another node's own directory with --state-dir: that of {' or '.join(others)}"
        ) from error


def _problems(node: NodeState) -> str:
    return "; ".join(node.problems)
