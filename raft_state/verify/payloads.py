"""The rules of op-conductor's payloads: what its state machine makes of a command.

Invariant: pure. A payload is judged as op-conductor decodes it, the bounds of its transactions
included; the head moves only to a greater height.
"""

from __future__ import annotations

from raft_state.raft import CommandPayload, decode_command
from raft_state.verify.rules import Rule

Seen = tuple[Rule, str]
"""A rule that is broken, and what was seen."""


def review_command(
    index: int, data: bytes | memoryview | None, head: int | None
) -> tuple[list[Seen], int | None]:
    """Judge the data of a command, and tell the height of the head after it; None: no head yet."""
    payload = decode_command(data, all_transactions=True)
    where = f"the command at index {index}"
    if not payload.data_bytes:
        return [(Rule.PAYLOAD_EMPTY, f"{where} has no data")], head
    header = payload.header
    if header is None:
        return [(Rule.PAYLOAD_UNDECODABLE, f"{where} holds no payload ({payload.problem})")], head
    if not payload.is_applied:
        return [(Rule.PAYLOAD_LEGACY, f"{where}: {payload.problem}")], head
    if head is not None and header.height <= head:
        detail = f"{where} has height {header.height} after one of height {head}"
        return [(Rule.PAYLOAD_HEIGHT, detail)], head
    return [], header.height


def review_state(payload: CommandPayload) -> tuple[list[Seen], int | None]:
    """Judge what is in the state of a snapshot, and tell the height of its payload."""
    if not payload.data_bytes:
        return [(Rule.SNAPSHOT_STATE_EMPTY, "state.bin has 0 bytes")], None
    if payload.header is None:
        detail = f"state.bin holds no payload ({payload.problem})"
        return [(Rule.SNAPSHOT_STATE_UNDECODABLE, detail)], None
    if not payload.is_applied:
        return [(Rule.SNAPSHOT_STATE_LEGACY, f"state.bin: {payload.problem}")], None
    return [], payload.header.height
