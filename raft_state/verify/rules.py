"""Every rule that a state directory is held against: its severity, and what breaking it means.

Law: an *error* is what Raft or op-conductor does not start from, later dies of, loses data by, or
could not have written. A *warning* starts, and is hardly what the operator wants. An *info* is
worth knowing, also of a healthy node. What Raft does was observed with hashicorp/raft 1.7.3,
raft-boltdb 2.3.1 and bbolt 1.3.5 to 1.5.0.
"""

from __future__ import annotations

import enum


class Severity(enum.StrEnum):
    """How bad; the worst comes first."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


def _error(meaning: str) -> tuple[Severity, str]:
    return Severity.ERROR, meaning


def _warning(meaning: str) -> tuple[Severity, str]:
    return Severity.WARNING, meaning


def _info(meaning: str) -> tuple[Severity, str]:
    return Severity.INFO, meaning


@enum.unique
class Rule(enum.Enum):
    """Severity, and what it means and what to do. A finding puts in front of it what was seen."""

    def __init__(self, severity: Severity, meaning: str) -> None:
        self.severity = severity
        self.meaning = meaning

    @property
    def code(self) -> str:
        """The stable name of the rule, like `log-gap`."""
        return self.name.lower().replace("_", "-")

    # Files

    FILE_MISSING = _error(
        "op-conductor would make a new empty one and forget what this node promised; restore it "
        "from a backup, or empty the whole directory and let the node join anew"
    )
    FILE_EMPTY = _error(
        "op-conductor takes an empty file for a new database and forgets what was in it; restore "
        "it from a backup, or delete it if this node never ran"
    )
    FILE_LOCKED = _error(
        "nothing in it was checked; stop the op-conductor that uses it, or verify a copy: "
        "`op-conductor-init verify --live` makes one, and so does `op-conductor-init backup`"
    )
    FILE_UNREADABLE = _error("nothing in it was checked; look at its kind and its permissions")
    STRUCTURE = _error(
        "the database file is damaged; do not start a conductor on it, restore it from a backup or "
        "let the node join anew with an empty directory"
    )
    STRUCTURE_ODD = _warning(
        "by itself no reason not to start a conductor on it; make a backup before you do"
    )
    BUCKET_NESTED = _error(
        "Raft takes it for an entry without a value and does not get past it; restore this node "
        "from a backup"
    )
    BUCKET_MISSING = _warning(
        "op-conductor makes it at its start, and until then it counts as empty; was this file "
        "written by a Raft store at all?"
    )
    BUCKET_UNKNOWN = _warning("Raft does not look at it; this file may be another program's")
    BUCKET_STRAY = _warning(
        "op-conductor does not read it from this file; were two databases merged or swapped?"
    )
    NODE_EMPTY = _info("a conductor starts on it as a new node that knows no cluster")

    # Log

    LOG_KEY = _error(
        "Raft takes keys of 8 bytes for indexes; on others it panics or reads a wrong last index; "
        "restore this node from a backup"
    )
    LOG_INDEX_ZERO = _error(
        "indexes start at 1 and Raft takes 0 for an empty log; restore this node from a backup"
    )
    LOG_UNDECODABLE = _error(
        "Raft panics at it, at the start or when it replicates; restore this node from a backup or "
        "let it join anew with an empty directory"
    )
    LOG_INDEX = _error("Raft panics with 'log not found'; restore this node from a backup")
    LOG_GAP = _error(
        "Raft panics at the start with 'log not found'; restore this node from a backup or let it "
        "join anew with an empty directory"
    )
    LOG_GAP_COVERED = _info("the snapshot covers them, so Raft never asks for them")
    LOG_START = _error(
        "what is between is lost and Raft panics at the start with 'log not found'; restore the "
        "snapshots together with the log, or let the node join anew with an empty directory"
    )
    LOG_TERM_ZERO = _error(
        "no leader ever had term 0, so no Raft has written this; make the state anew"
    )
    LOG_TERM_FALLS = _error(
        "terms never fall along a log; it was put together from different histories. Restore this "
        "node from a backup or let it join anew"
    )
    LOG_TERM_BEYOND_CURRENT = _error(
        "Raft starts all the same and then writes lower terms after higher ones, which breaks the "
        "log for good; raft-stable.db is older than raft-log.db, restore both from one backup"
    )
    LOG_TYPE = _error(
        "Raft panics with 'unrecognized log type' once it is committed; restore this node from a "
        "backup"
    )
    LOG_FORM = _warning(
        "Raft reads it, but no release of it writes such a value; another tool wrote it, or it is "
        "damaged"
    )

    # Payloads

    PAYLOAD_EMPTY = _warning("op-conductor answers it with an error and goes on without it")
    PAYLOAD_LEGACY = _warning(
        "op-conductor since 2024-01-19 cannot read this form and goes on without the payload"
    )
    PAYLOAD_UNDECODABLE = _warning(
        "op-conductor goes on without it; the value may be damaged, compare with another node"
    )
    PAYLOAD_HEIGHT = _info(
        "op-conductor's head moves only upwards, so this payload never becomes the latest"
    )

    # Configurations

    CONFIGURATION_UNDECODABLE = _error(
        "Raft panics at the start with 'failed to decode configuration'; restore this node from a "
        "backup"
    )
    CONFIGURATION_INVALID = _error(
        "Raft goes by it without a check, and the cluster then has no leader or a wrong quorum; "
        "make the state anew with a right list of members"
    )
    CONFIGURATION_WAS_INVALID = _warning(
        "a later configuration has replaced it; Raft itself would not have written it"
    )
    CONFIGURATION_MISSING = _warning(
        "the node starts and waits for a leader to tell it of one; alone it never leads"
    )
    CONFIGURATION_WITHOUT_SELF = _warning(
        "a conductor whose --raft.server.id is this folder's name stays a follower for ever; name "
        "the folder as the member is called, or the node was removed from the cluster"
    )
    CONFIGURATION_SELF_NONVOTER = _info(
        "it receives the log and starts no election; so do the followers of `generate "
        "--leader-mode enforced` until the initial leader's log makes them voters"
    )
    CONFIGURATION_SUFFRAGE = _warning(
        "Raft knows 0 (voter), 1 (nonvoter) and 2 (staging), and treats others as nonvoters"
    )
    CONFIGURATION_VOTERS_EVEN = _info("one voter fewer would survive as many failures")
    CONFIGURATION_VOTERS_ONE = _info("when it stops, nothing takes over")
    CONFIGURATION_CHANGED = _info(
        "Raft goes by the newer one at once; whether it was committed is stored nowhere"
    )
    CONFIGURATION_LEAP = _warning(
        "Raft changes one voter at a time so that old and new quorums overlap; here both could "
        "elect a leader. Make sure that no node runs on the old one"
    )
    CONFIGURATION_ENFORCED = _info(
        "the layout of `generate --leader-mode enforced`: that member wins the first election, and "
        "until it starts there is no leader"
    )

    # Stable store

    STABLE_SHORT = _error(
        "Raft panics on a number of fewer than 8 bytes; restore raft-stable.db from a backup"
    )
    STABLE_LONG = _warning("Raft reads the first 8 bytes and goes on; no release of it writes that")
    STABLE_VOTE_BEYOND_TERM = _error(
        "Raft raises the current term before it votes, so no Raft has written this; left over from "
        "a state that was overwritten? Make the state anew or restore a backup"
    )
    STABLE_VOTE_HALF = _info(
        "as after a crash between the two writes of a vote; it counts as no vote"
    )
    STABLE_VOTE_WITHOUT_TERM = _warning(
        "Raft writes the term of a vote first, so no Raft has left it like this; it counts as no "
        "vote"
    )
    STABLE_CANDIDATE_FORM = _info(
        "Raft stores and compares the candidate's resolved ip:port, so this vote fits nobody; "
        "op-conductor-init writes server ids, and for the first election it makes no difference"
    )
    STABLE_KEY_UNKNOWN = _warning("Raft does not read it")

    # Snapshots

    SNAPSHOT_SKIPPED = _error(
        "Raft passes over this snapshot without a word and, if it was the only one, starts with "
        "neither members nor payload; restore the snapshots folder from a backup"
    )
    SNAPSHOT_UNUSABLE = _error(
        "Raft cannot load this snapshot and, with no other one, does not start; restore the "
        "snapshots folder from a backup"
    )
    SNAPSHOT_ODD = _warning("Raft goes by the checksum alone; something else has changed meta.json")
    SNAPSHOT_VERSION_OLD = _info(
        "the old form with peers instead of a configuration, which Raft still reads"
    )
    SNAPSHOT_STATE_EMPTY = _error(
        "op-conductor cannot restore an empty state and does not start; delete this snapshot only "
        "if the log still starts at 1, else let the node join anew"
    )
    SNAPSHOT_STATE_LEGACY = _error(
        "op-conductor since 2024-01-19 cannot restore it and does not start; let the node join "
        "anew or run the release that wrote it"
    )
    SNAPSHOT_STATE_UNDECODABLE = _error(
        "op-conductor cannot restore it and does not start; restore the snapshots folder from a "
        "backup or let the node join anew"
    )
    SNAPSHOT_CONFIGURATION_INDEX = _error(
        "a snapshot cannot hold a configuration that came after it; meta.json is damaged, restore "
        "the snapshots folder from a backup"
    )
    SNAPSHOT_TERM = _error(
        "log and snapshot are of different histories; restore both from one backup"
    )
    SNAPSHOT_TERM_BEYOND_CURRENT = _error(
        "raft-stable.db is older than the snapshot; restore both from one backup"
    )
    SNAPSHOT_BEYOND_LOG = _info(
        "normal after a snapshot was received or the log was compacted; the log goes on after it"
    )
    SNAPSHOT_SEVERAL = _info(
        "Raft restores the newest that it can read and deletes the others at its next snapshot"
    )
    SNAPSHOT_LEFTOVER = _info(
        "Raft never looks at it or removes it; it may be deleted while the conductor is stopped"
    )

    # Across nodes

    CLUSTER_ID = _warning(
        "one state must never run under two names; keep the name of the node that runs on it"
    )
    CLUSTER_ENTRY = _error(
        "entries of one index and term are the same everywhere in Raft; one node is damaged or was "
        "made apart from the others. Find out which is right before any of them starts"
    )
    CLUSTER_FORM = _info("the same entry in another form, as different releases write it")
    CLUSTER_HISTORY = _error(
        "logs that agree on an entry agree on all before it in Raft; one node was put together "
        "from different histories. Let it join anew"
    )
    CLUSTER_TAIL = _info(
        "the tail with the lower last term was never committed, and Raft replaces it once there is "
        "a leader"
    )
    CLUSTER_SNAPSHOT = _error(
        "snapshots of one index and term hold the same state in Raft; compare them with a log "
        "before any node starts"
    )
    CLUSTER_CONFIGURATION = _warning(
        "whoever is behind learns of the newer one from the leader; until then it counts another "
        "quorum"
    )
    CLUSTER_ADDRESS = _warning(
        "the nodes would dial different places; right only in the middle of a move"
    )
    CLUSTER_NODE_MISSING = _warning(
        "it starts empty if this is all there is; copy its folder here to have it checked"
    )
    CLUSTER_TERMS = _info("the highest wins at the first contact")
    CLUSTER_AHEAD = _info(
        "a node with an older log cannot be elected by one with a newer log; take the newest as "
        "the source of any repair"
    )
