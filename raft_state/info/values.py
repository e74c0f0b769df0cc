"""Turns decoded values into what is shown of them.

Invariant: pure, and never an error: what cannot be read becomes a note.
"""

from __future__ import annotations

from raft_state.info.report import Member, PayloadView
from raft_state.raft import CommandPayload, Server, shown


def member_of(server: Server) -> Member:
    """A server of a configuration."""
    return Member(shown(server.server_id), shown(server.address), server.suffrage_name)


def payload_of(command: CommandPayload) -> tuple[PayloadView | None, str]:
    """The payload in a command or in a snapshot's state, or why there is none."""
    header = command.header
    if header is None:
        return None, f"no payload: {command.problem}"
    view = PayloadView(
        height=header.height,
        block_hash=f"0x{header.block_hash.hex()}",
        parent_hash=f"0x{header.parent_hash.hex()}",
        transactions_count=header.transactions_count,
        timestamp=header.timestamp,
        version=header.version,
    )
    return view, command.problem
