"""The directories of nodes: found, opened and read, never written.

Law: nothing is created or changed, and only a lock ends the reading of a node; whatever else is
wrong with it is told beside what can be read.
"""

from raft_state.node.committed import certain_index
from raft_state.node.directories import (
    DATABASES,
    LOG_FILE,
    SNAPSHOTS,
    STABLE_FILE,
    STATE_NAMES,
    is_node_directory,
    node_directories,
    server_id_of,
)
from raft_state.node.log_store import LogStore, StoredEntry
from raft_state.node.names import Place, check_server_id, folder_of, parse_address
from raft_state.node.newest_payload import NewestPayload, newest_payload
from raft_state.node.node_state import CurrentConfiguration, NodeState, open_node
from raft_state.node.own_folders import (
    BACKUP_PREFIX,
    DISCARDED,
    GENERATING,
    REPLACED,
    RESTORING,
    UNFINISHED_BACKUP_PREFIX,
    is_own_folder,
)
from raft_state.node.side_by_side import (
    NodeLog,
    all_equal,
    difference,
    same_bytes,
    same_content,
    side_by_side,
)

__all__ = [
    "BACKUP_PREFIX",
    "DATABASES",
    "DISCARDED",
    "GENERATING",
    "LOG_FILE",
    "REPLACED",
    "RESTORING",
    "SNAPSHOTS",
    "STABLE_FILE",
    "STATE_NAMES",
    "UNFINISHED_BACKUP_PREFIX",
    "CurrentConfiguration",
    "LogStore",
    "NewestPayload",
    "NodeLog",
    "NodeState",
    "Place",
    "StoredEntry",
    "all_equal",
    "certain_index",
    "check_server_id",
    "difference",
    "folder_of",
    "is_node_directory",
    "is_own_folder",
    "newest_payload",
    "node_directories",
    "open_node",
    "parse_address",
    "same_bytes",
    "same_content",
    "server_id_of",
    "side_by_side",
]
