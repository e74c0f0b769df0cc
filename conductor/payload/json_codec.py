"""op-node's envelope JSON to SSZ bytes and back.

Reading: `{"executionPayload": {...}, "parentBeaconBlockRoot": ...}` or a bare execution payload.
As in Go, unknown fields are skipped, `null` is the same as absent, and of a repeated name the last
one counts. Unlike Go, a field that is missing is an error, not zero, and a quantity must be written
the one canonical way.
Writing: names, order, number forms and omitted fields as the Go op-node writes them.

Format: `ExecutionPayloadEnvelope` in `op-service/eth/types.go` of ethereum-optimism/optimism.
"""

from __future__ import annotations

import re
from binascii import hexlify, unhexlify
from typing import TypeVar

import msgspec

from conductor.errors import InvalidPayload, TooLarge
from conductor.payload.envelope import Envelope, Withdrawal
from conductor.payload.layout import PAYLOAD_JSON_BYTES_MAX, ROOT_BYTES, TRANSACTIONS_MAX
from conductor.payload.ssz import decode, encode

_QUANTITY = re.compile(r"0x(?:0|[1-9a-fA-F][0-9a-fA-F]{0,63})")
_ZERO_ROOT = bytes(ROOT_BYTES)
_SHOWN_CHARACTERS_MAX = 40

# A large body can hold so many tiny values that their objects take 15 times its memory and a second
# of work. Counting its commas first costs under a millisecond for each megabyte.
_COUNTED_BYTES_MIN = 8 * 1024 * 1024
_COMMAS_MAX = TRANSACTIONS_MAX + 1024


class _WireWithdrawal(msgspec.Struct, rename="camel"):
    index: str | None = None
    validator_index: str | None = None
    address: str | None = None
    amount: str | None = None


class _WirePayload(msgspec.Struct, rename="camel"):
    """Every field may be missing here: that is judged later, where the field can be named."""

    parent_hash: str | None = None
    fee_recipient: str | None = None
    state_root: str | None = None
    receipts_root: str | None = None
    logs_bloom: str | None = None
    prev_randao: str | None = None
    block_number: str | None = None
    gas_limit: str | None = None
    gas_used: str | None = None
    timestamp: str | None = None
    extra_data: str | None = None
    base_fee_per_gas: str | None = None
    block_hash: str | None = None
    transactions: list[str] | None = None
    withdrawals: list[_WireWithdrawal] | None = None
    blob_gas_used: str | None = None
    excess_blob_gas: str | None = None
    withdrawals_root: str | None = None


class _WireEnvelope(msgspec.Struct, rename="camel"):
    execution_payload: _WirePayload | None = None
    parent_beacon_block_root: str | None = None


_ENVELOPE = msgspec.json.Decoder(_WireEnvelope)
_PAYLOAD = msgspec.json.Decoder(_WirePayload)
_Wire = TypeVar("_Wire")


def ssz_from_json(raw: bytes) -> bytes:
    """The SSZ bytes of an envelope, or of a bare V1 or V2 payload, given as JSON.

    V1 and V2 may come without a root (stored as zero); V3 and V4 may not. V4 is written if and only
    if `withdrawalsRoot` is there. Raises `InvalidPayload` naming the field, or `TooLarge`.
    """
    if len(raw) > PAYLOAD_JSON_BYTES_MAX:
        raise TooLarge(f"the JSON has {len(raw)} bytes, at most {PAYLOAD_JSON_BYTES_MAX} may be")
    if len(raw) >= _COUNTED_BYTES_MIN and raw.count(b",") > _COMMAS_MAX:
        raise TooLarge(f"the JSON has more than {_COMMAS_MAX} values, more than any payload needs")
    wire = _read(_ENVELOPE, raw)
    root = wire.parent_beacon_block_root
    payload = wire.execution_payload
    if payload is None:
        if root is not None:
            raise InvalidPayload("executionPayload", "is missing beside parentBeaconBlockRoot")
        payload = _read(_PAYLOAD, raw)
    envelope = _envelope(
        payload, _ZERO_ROOT if root is None else _data("parentBeaconBlockRoot", root)
    )
    if root is None and envelope.version >= 3:
        problem = f"is missing, V{envelope.version} needs it (beside executionPayload)"
        raise InvalidPayload("parentBeaconBlockRoot", problem)
    return encode(envelope)


def json_from_ssz(ssz: bytes) -> bytes:
    """The envelope JSON of SSZ bytes, as op-node writes it.

    A zero root of V1 and V2 stands for none and is left out. Raises `InvalidPayload` or `TooLarge`.
    """
    envelope = decode(ssz)
    root = b""
    if envelope.version >= 3 or envelope.parent_beacon_block_root != _ZERO_ROOT:
        root = b'"parentBeaconBlockRoot":"0x%b",' % hexlify(envelope.parent_beacon_block_root)
    head, tail = _head(envelope).encode(), _tail(envelope).encode()
    transactions = b""
    if envelope.transactions:
        transactions = b'"0x%b"' % b'","0x'.join([hexlify(data) for data in envelope.transactions])
    return b"".join(
        (
            b"{",
            root,
            b'"executionPayload":{',
            head,
            b',"transactions":[',
            transactions,
            b"]",
            tail,
            b"}}",
        )
    )


def _read(decoder: msgspec.json.Decoder[_Wire], raw: bytes) -> _Wire:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        # "Expected `str | null`, got `int` - at `$.executionPayload.gasUsed`": the field is there.
        problem, _, path = str(error).partition(" - at `$.")
        field = path.rstrip("`").removeprefix("executionPayload.")
        raise InvalidPayload(field or "payload", problem) from None
    except msgspec.DecodeError as error:
        raise InvalidPayload("payload", str(error)) from None
    except UnicodeDecodeError:
        raise InvalidPayload("payload", "the JSON is not UTF-8") from None
    except RecursionError:
        raise InvalidPayload("payload", "the JSON is nested too deeply") from None


def _envelope(payload: _WirePayload, root: bytes) -> Envelope:
    return Envelope(
        parent_beacon_block_root=root,
        parent_hash=_data("parentHash", payload.parent_hash),
        fee_recipient=_data("feeRecipient", payload.fee_recipient),
        state_root=_data("stateRoot", payload.state_root),
        receipts_root=_data("receiptsRoot", payload.receipts_root),
        logs_bloom=_data("logsBloom", payload.logs_bloom),
        prev_randao=_data("prevRandao", payload.prev_randao),
        height=_quantity("blockNumber", payload.block_number),
        gas_limit=_quantity("gasLimit", payload.gas_limit),
        gas_used=_quantity("gasUsed", payload.gas_used),
        timestamp=_quantity("timestamp", payload.timestamp),
        extra_data=_data("extraData", payload.extra_data),
        base_fee_per_gas=_quantity("baseFeePerGas", payload.base_fee_per_gas),
        block_hash=_data("blockHash", payload.block_hash),
        transactions=_transactions(payload.transactions),
        withdrawals=_withdrawals(payload.withdrawals),
        blob_gas_used=_optional_quantity("blobGasUsed", payload.blob_gas_used),
        excess_blob_gas=_optional_quantity("excessBlobGas", payload.excess_blob_gas),
        withdrawals_root=(
            None
            if payload.withdrawals_root is None
            else _data("withdrawalsRoot", payload.withdrawals_root)
        ),
    )


def _transactions(texts: list[str] | None) -> tuple[bytes, ...]:
    if texts is None:
        raise InvalidPayload("transactions", "is missing")
    try:
        transactions = [unhexlify(text[2:]) for text in texts if text.startswith("0x")]
    except ValueError:
        transactions = []
    if len(transactions) != len(texts):
        # Only now is it worth the time to give each one a name.
        transactions = [_data(f"transactions[{i}]", text) for i, text in enumerate(texts)]
    return tuple(transactions)


def _withdrawals(entries: list[_WireWithdrawal] | None) -> tuple[Withdrawal, ...] | None:
    if entries is None:
        return None
    return tuple(
        [
            Withdrawal(
                index=_quantity(f"withdrawals[{i}].index", entry.index),
                validator_index=_quantity(
                    f"withdrawals[{i}].validatorIndex", entry.validator_index
                ),
                address=_data(f"withdrawals[{i}].address", entry.address),
                amount=_quantity(f"withdrawals[{i}].amount", entry.amount),
            )
            for i, entry in enumerate(entries)
        ]
    )


def _data(field: str, text: str | None) -> bytes:
    if text is None:
        raise InvalidPayload(field, "is missing")
    if not text.startswith("0x"):
        raise InvalidPayload(field, f"{_shown(text)} does not begin with 0x")
    try:
        return unhexlify(text[2:])
    except ValueError:
        problem = f"{_shown(text)} is no hex data of whole bytes"
        raise InvalidPayload(field, problem) from None


def _quantity(field: str, text: str | None) -> int:
    if text is None:
        raise InvalidPayload(field, "is missing")
    if not _QUANTITY.fullmatch(text):
        problem = f"{_shown(text)} is no hex quantity (0x, no leading zeros, at most 64 digits)"
        raise InvalidPayload(field, problem)
    return int(text, 16)


def _optional_quantity(field: str, text: str | None) -> int | None:
    return None if text is None else _quantity(field, text)


def _shown(text: str) -> str:
    """What an error shows of a bad value: printable, and short however long the value is."""
    cut = text[:_SHOWN_CHARACTERS_MAX]
    return ascii(cut) + ("..." if cut != text else "")


def _head(envelope: Envelope) -> str:
    """The members before `transactions`, in op-node's order."""
    return (
        f'"parentHash":"0x{envelope.parent_hash.hex()}",'
        f'"feeRecipient":"0x{envelope.fee_recipient.hex()}",'
        f'"stateRoot":"0x{envelope.state_root.hex()}",'
        f'"receiptsRoot":"0x{envelope.receipts_root.hex()}",'
        f'"logsBloom":"0x{envelope.logs_bloom.hex()}",'
        f'"prevRandao":"0x{envelope.prev_randao.hex()}",'
        f'"blockNumber":"{envelope.height:#x}",'
        f'"gasLimit":"{envelope.gas_limit:#x}",'
        f'"gasUsed":"{envelope.gas_used:#x}",'
        f'"timestamp":"{envelope.timestamp:#x}",'
        f'"extraData":"0x{envelope.extra_data.hex()}",'
        f'"baseFeePerGas":"{envelope.base_fee_per_gas:#x}",'
        f'"blockHash":"0x{envelope.block_hash.hex()}"'
    )


def _tail(envelope: Envelope) -> str:
    """The members after `transactions`: those that came with later forks, if they are there."""
    tail = ""
    if envelope.withdrawals is not None:
        tail += f',"withdrawals":[{",".join(map(_withdrawal_json, envelope.withdrawals))}]'
    if envelope.blob_gas_used is not None:
        tail += f',"blobGasUsed":"{envelope.blob_gas_used:#x}"'
    if envelope.excess_blob_gas is not None:
        tail += f',"excessBlobGas":"{envelope.excess_blob_gas:#x}"'
    if envelope.withdrawals_root is not None:
        tail += f',"withdrawalsRoot":"0x{envelope.withdrawals_root.hex()}"'
    return tail


def _withdrawal_json(withdrawal: Withdrawal) -> str:
    return (
        f'{{"index":"{withdrawal.index:#x}","validatorIndex":"{withdrawal.validator_index:#x}",'
        f'"address":"0x{withdrawal.address.hex()}","amount":"{withdrawal.amount:#x}"}}'
    )
