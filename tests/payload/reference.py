"""The four payload versions declared for remerkleable, an SSZ implementation that is not ours."""

from __future__ import annotations

from typing import Any

from remerkleable.basic import uint64, uint256  # type: ignore[import-untyped]
from remerkleable.byte_arrays import ByteList, ByteVector  # type: ignore[import-untyped]
from remerkleable.complex import Container, List  # type: ignore[import-untyped]

from conductor.payload import Envelope, Withdrawal


def container(name: str, fields: dict[str, Any]) -> Any:
    """A container type; remerkleable reads its fields from evaluated annotations."""
    return type(name, (Container,), {"__annotations__": fields})


_WITHDRAWAL_FIELDS = {
    "index": uint64,
    "validator_index": uint64,
    "address": ByteVector[20],
    "amount": uint64,
}
_V1_FIELDS = {
    "parent_hash": ByteVector[32],
    "fee_recipient": ByteVector[20],
    "state_root": ByteVector[32],
    "receipts_root": ByteVector[32],
    "logs_bloom": ByteVector[256],
    "prev_randao": ByteVector[32],
    "height": uint64,
    "gas_limit": uint64,
    "gas_used": uint64,
    "timestamp": uint64,
    "extra_data": ByteList[32],
    "base_fee_per_gas": uint256,
    "block_hash": ByteVector[32],
    "transactions": List[ByteList[2**30], 2**20],
}
_WITHDRAWAL = container("Withdrawal", _WITHDRAWAL_FIELDS)
_V2_FIELDS = _V1_FIELDS | {"withdrawals": List[_WITHDRAWAL, 16]}
_V3_FIELDS = _V2_FIELDS | {"blob_gas_used": uint64, "excess_blob_gas": uint64}
_V4_FIELDS = _V3_FIELDS | {"withdrawals_root": ByteVector[32]}
_PAYLOADS = {
    version: container(f"PayloadV{version}", fields)
    for version, fields in enumerate((_V1_FIELDS, _V2_FIELDS, _V3_FIELDS, _V4_FIELDS), start=1)
}


def reference_encode(envelope: Envelope) -> bytes:
    """The SSZ bytes of an envelope: the root and the payload, one after the other."""
    payload_type = _PAYLOADS[envelope.version]
    values = {name: getattr(envelope, name) for name in payload_type.fields()}
    if envelope.withdrawals is not None:
        values["withdrawals"] = [
            _WITHDRAWAL(**{name: getattr(entry, name) for name in _WITHDRAWAL_FIELDS})
            for entry in envelope.withdrawals
        ]
    payload: bytes = payload_type(**values).encode_bytes()
    return envelope.parent_beacon_block_root + payload


def reference_decode(ssz: bytes, version: int) -> Envelope:
    """The envelope in SSZ bytes of a known version."""
    payload = _PAYLOADS[version].decode_bytes(ssz[32:])
    values = {name: plain(getattr(payload, name)) for name in payload.fields()}
    return Envelope(parent_beacon_block_root=ssz[:32], **values)


def plain(value: Any) -> Any:
    """A remerkleable value as the Python value that stands for it in an envelope."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, (ByteVector, ByteList)):
        return bytes(value)
    if isinstance(value, Container):
        return Withdrawal(**{name: plain(getattr(value, name)) for name in value.fields()})
    return tuple(plain(entry) for entry in value)
