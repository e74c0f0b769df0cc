"""Hypothesis strategies for envelopes of every version, bounds included."""

from __future__ import annotations

from hypothesis import strategies as st

from conductor.payload import Envelope, Withdrawal

_HASH = st.binary(min_size=32, max_size=32)
_ADDRESS = st.binary(min_size=20, max_size=20)
_U64 = st.sampled_from([0, 1, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
_U256 = st.sampled_from([0, 2**256 - 1]) | st.integers(0, 2**256 - 1)
_WITHDRAWALS = st.lists(st.builds(Withdrawal, _U64, _U64, _ADDRESS, _U64), max_size=16).map(tuple)


@st.composite
def envelopes(draw: st.DrawFn) -> Envelope:
    """Any envelope that can be: every version, any root, up to a few small transactions."""
    version = draw(st.integers(1, 4))
    return Envelope(
        parent_beacon_block_root=draw(st.just(bytes(32)) | _HASH),
        parent_hash=draw(_HASH),
        fee_recipient=draw(_ADDRESS),
        state_root=draw(_HASH),
        receipts_root=draw(_HASH),
        logs_bloom=draw(st.binary(min_size=256, max_size=256)),
        prev_randao=draw(_HASH),
        height=draw(_U64),
        gas_limit=draw(_U64),
        gas_used=draw(_U64),
        timestamp=draw(_U64),
        extra_data=draw(st.binary(max_size=32)),
        base_fee_per_gas=draw(_U256),
        block_hash=draw(_HASH),
        transactions=draw(st.lists(st.binary(max_size=40), max_size=8).map(tuple)),
        withdrawals=draw(_WITHDRAWALS) if version >= 2 else None,
        blob_gas_used=draw(_U64) if version >= 3 else None,
        excess_blob_gas=draw(_U64) if version >= 3 else None,
        withdrawals_root=draw(_HASH) if version >= 4 else None,
    )
