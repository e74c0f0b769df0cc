"""What the Go libraries wrote: single values, and the golden files with their manifests."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from raft_state.raft import ZERO_TIME, AppendedAt, Configuration, LogEntry, Server, Suffrage

GOLDEN = Path(__file__).parent / "golden"

MOMENT = AppendedAt(1_752_244_856, 123_456_789)
"""2025-07-11T14:40:56.123456789Z."""

NOOP = bytes.fromhex(
    "86aa417070656e6465644174af01000000000000000000000000ffffa444617461c0aa457874656e73696f6e73c0"
    "a5496e64657802a45465726d02a45479706501"
)
EMPTY_DATA = bytes.fromhex(
    "86aa417070656e6465644174af010000000ee0031978075bcd15ffffa444617461a0aa457874656e73696f6e73c0"
    "a5496e64657803a45465726d02a45479706500"
)
HELLO = bytes.fromhex(
    "86aa417070656e6465644174af010000000ee002fd58075bcd150078a444617461a568656c6c6faa457874656e73"
    "696f6e73a3657874a5496e64657804a45465726dccc8a45479706500"
)
TIMESTAMP = bytes.fromhex(
    "86aa417070656e6465644174a81d6f345468712278a444617461a0aa457874656e73696f6e73c0a5496e64657803"
    "a45465726d02a45479706500"
)
UNTIMED_NOOP = bytes.fromhex(
    "85a444617461c0aa457874656e73696f6e73c0a5496e64657802a45465726d02a45479706501"
)

NOOP_ENTRY = LogEntry(index=2, term=2, type=1, appended_at=ZERO_TIME)
EMPTY_DATA_ENTRY = LogEntry(index=3, term=2, type=0, data=b"", appended_at=MOMENT)
HELLO_ENTRY = LogEntry(
    index=4,
    term=200,
    type=0,
    data=b"hello",
    extensions=b"ext",
    appended_at=AppendedAt(MOMENT.unix_seconds - 7200, MOMENT.nanoseconds, 7200),
)

THREE_SERVERS = bytes.fromhex(
    "81a7536572766572739383a741646472657373ae31302e302e302e313a3530303530a24944a57365712d31"
    "a853756666726167650083a741646472657373ae31302e302e302e323a3530303530a24944a57365712d32"
    "a853756666726167650183a741646472657373ae31302e302e302e333a3530303530a24944a57365712d33"
    "a8537566667261676502"
)
THREE_SERVERS_CONFIGURATION = Configuration(
    (
        Server("seq-1", "10.0.0.1:50050", Suffrage.VOTER),
        Server("seq-2", "10.0.0.2:50050", Suffrage.NONVOTER),
        Server("seq-3", "10.0.0.3:50050", Suffrage.STAGING),
    )
)

META_TEXT = (
    '{"Version":1,"ID":"3-68-1795168092077","Index":68,"Term":3,'
    '"Peers":"ka8xMjcuMC4wLjE6NDcxMDE=","Configuration":{"Servers":['
    '{"Suffrage":0,"ID":"sequencer-1","Address":"127.0.0.1:47101"},'
    '{"Suffrage":1,"ID":"sequencer-9","Address":"127.0.0.1:47109"}]},'
    '"ConfigurationIndex":1,"Size":645,"CRC":"86uQl+gU5tk="}\n'
)


@functools.cache
def golden_manifest() -> dict[str, Any]:
    """What Go read in the golden databases, by their path below `GOLDEN`."""
    files: dict[str, Any] = json.loads((GOLDEN / "manifest.json").read_text())["files"]
    return files


@functools.cache
def payload_manifest() -> list[dict[str, Any]]:
    """What Go wrote into the golden payloads."""
    payloads: list[dict[str, Any]] = json.loads((GOLDEN / "ssz" / "ssz-manifest.json").read_text())
    return payloads
