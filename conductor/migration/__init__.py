"""Where Raft states of Go op-conductors meet conductors, in both directions.

Law: the side that is read is never changed, and what is made is whole or not there at all.
"""

from conductor.migration.from_raft import Beginning, founding_of, read_beginning
from conductor.migration.new_store import FromRaftReport, make_store
from conductor.migration.raft_node import RaftState
from conductor.migration.settling import settled
from conductor.migration.to_raft import ToRaftReport, write_raft_states

__all__ = [
    "Beginning",
    "FromRaftReport",
    "RaftState",
    "ToRaftReport",
    "founding_of",
    "make_store",
    "read_beginning",
    "settled",
    "write_raft_states",
]
