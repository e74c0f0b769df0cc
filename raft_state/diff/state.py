"""Compares two state directories: of one node each, or of clusters, or backups of either.

Invariant: nodes are compared with those of the same server id. Only two directories that are of one
node each are compared whatever they are called.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from conductor.errors import NotFound, StoreMismatch
from raft_state.diff.node import NodeDifference, compare_nodes
from raft_state.node import is_node_directory, node_directories, server_id_of


@dataclass(frozen=True, slots=True)
class StateDifference:
    """Two state directories, compared."""

    a: Path
    b: Path
    nodes: tuple[NodeDifference, ...]
    """The nodes that are in both."""
    only_a: tuple[str, ...]
    """Server ids."""
    only_b: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs."""
        return not (self.only_a or self.only_b) and all(node.is_equal for node in self.nodes)


def compare_states(a: Path, b: Path, *, lock_timeout_s: float = 0.0) -> StateDifference:
    """Compare two state directories.

    NotFound: one is none. StoreMismatch: it cannot be told what to compare. StoreLocked,
    StoreDamaged: one cannot be read whole.
    """
    one, other = _nodes(a), _nodes(b)
    if is_node_directory(a) and is_node_directory(b):
        pairs, only_a, only_b = [(a, b)], set[str](), set[str]()
    else:
        # One node is compared with that of its name; that there are more there is no difference.
        if is_node_directory(a):
            other = {name: path for name, path in other.items() if name in one} or other
        if is_node_directory(b):
            one = {name: path for name, path in one.items() if name in other} or one
        pairs = [(one[name], other[name]) for name in sorted(one.keys() & other.keys())]
        only_a, only_b = one.keys() - other.keys(), other.keys() - one.keys()
    if not pairs:
        raise StoreMismatch(
            f"no node is in both: {a} has {', '.join(sorted(one))}, and {b} has "
            f"{', '.join(sorted(other))}: name the two nodes' own directories"
        )
    nodes = tuple(compare_nodes(*pair, lock_timeout_s=lock_timeout_s) for pair in pairs)
    return StateDifference(a, b, nodes, tuple(sorted(only_a)), tuple(sorted(only_b)))


def _nodes(state_dir: Path) -> dict[str, Path]:
    """Node directories by server id."""
    nodes: dict[str, Path] = {}
    for directory in node_directories(state_dir):
        nodes[server_id_of(directory)] = directory
    if not nodes:
        raise NotFound(f"{state_dir}: no node")
    return nodes
