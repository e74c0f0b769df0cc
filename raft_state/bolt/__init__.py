"""BoltDB databases: read without trusting them, checked, copied while in use, written whole.

Law: a database is never changed in place. Reading maps the file and looks at nothing that was not
checked before against the length of the file; each error names the page and the reason.
"""

from raft_state.bolt.bucket import Bucket
from raft_state.bolt.check import DatabaseCheck, check_database
from raft_state.bolt.damage import Damage, DatabaseDamaged
from raft_state.bolt.database import Database, open_database
from raft_state.bolt.hot_copy import copy_database
from raft_state.bolt.layout import Meta
from raft_state.bolt.new_file import new_file, sync_directory
from raft_state.bolt.page_map import PageMap, Use
from raft_state.bolt.writer import write_database

__all__ = [
    "Bucket",
    "Damage",
    "Database",
    "DatabaseCheck",
    "DatabaseDamaged",
    "Meta",
    "PageMap",
    "Use",
    "check_database",
    "copy_database",
    "new_file",
    "open_database",
    "sync_directory",
    "write_database",
]
