"""Gets payloads out of state directories: of one node, or of those of a cluster, held together.

Law: the SSZ bytes are those that op-conductor stored, byte for byte. Nothing is chosen where Raft
itself would have nothing to choose by.
"""

from raft_state.export.across import find_payload
from raft_state.export.in_node import Choice, FoundPayload, PayloadFormat

__all__ = ["Choice", "FoundPayload", "PayloadFormat", "find_payload"]
