"""What a node keeps on disk, and the same in memory for simulations.

Law of this package: what `apply` has returned for is on disk and stays true through any crash, what
it refused has changed nothing, and what contradicts itself is refused at the start, never repaired
by guess.
"""

from conductor.store.directory import has_store
from conductor.store.memory import MemoryStore
from conductor.store.opening import open_existing_store, open_store
from conductor.store.sqlite import SqliteStore

__all__ = ["MemoryStore", "SqliteStore", "has_store", "open_existing_store", "open_store"]
