"""The encodings of hashicorp/raft, as op-conductor's directories hold them: read and written.

Law: the reader takes what Go takes, to the same content, and says what Go would have written
otherwise; the writer gives Go's bytes exactly. Whatever cannot be read is an `EncodingDamaged`.
"""

from raft_state.raft.appended_at import ZERO_TIME, AppendedAt
from raft_state.raft.commands import CommandPayload, decode_command
from raft_state.raft.configurations import (
    Configuration,
    Server,
    Suffrage,
    configuration_of,
    configuration_of_peers,
    configuration_problems,
    decode_configuration,
    decode_peers,
    encode_configuration,
    encode_peers,
)
from raft_state.raft.crc64 import crc64
from raft_state.raft.damage import EncodingDamaged
from raft_state.raft.entries import (
    DecodedEntry,
    EntryForm,
    EntryType,
    LogEntry,
    decode_entry,
    encode_entry,
    entry_type_name,
)
from raft_state.raft.keys import CONF, LOGS, bytes_of, index_key, index_of_key, shown, text_of
from raft_state.raft.snapshot_meta import SnapshotMeta, meta_text, parse_meta
from raft_state.raft.snapshots import (
    META_FILE,
    STATE_FILE,
    UNFINISHED_SUFFIX,
    Ignored,
    Snapshot,
    SnapshotListing,
    list_snapshots,
    write_snapshot,
)
from raft_state.raft.stable import (
    CURRENT_TERM,
    LAST_VOTE_CANDIDATE,
    LAST_VOTE_TERM,
    StableState,
    read_stable,
    stable_items,
)

__all__ = [
    "CONF",
    "CURRENT_TERM",
    "LAST_VOTE_CANDIDATE",
    "LAST_VOTE_TERM",
    "LOGS",
    "META_FILE",
    "STATE_FILE",
    "UNFINISHED_SUFFIX",
    "ZERO_TIME",
    "AppendedAt",
    "CommandPayload",
    "Configuration",
    "DecodedEntry",
    "EncodingDamaged",
    "EntryForm",
    "EntryType",
    "Ignored",
    "LogEntry",
    "Server",
    "Snapshot",
    "SnapshotListing",
    "SnapshotMeta",
    "StableState",
    "Suffrage",
    "bytes_of",
    "configuration_of",
    "configuration_of_peers",
    "configuration_problems",
    "crc64",
    "decode_command",
    "decode_configuration",
    "decode_entry",
    "decode_peers",
    "encode_configuration",
    "encode_entry",
    "encode_peers",
    "entry_type_name",
    "index_key",
    "index_of_key",
    "list_snapshots",
    "meta_text",
    "parse_meta",
    "read_stable",
    "shown",
    "stable_items",
    "text_of",
    "write_snapshot",
]
