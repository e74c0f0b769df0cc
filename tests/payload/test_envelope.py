"""An `Envelope` that exists can be encoded: its constructor refuses everything else."""

from __future__ import annotations

from typing import Any

import pytest

from conductor.errors import InvalidPayload
from conductor.payload import Withdrawal
from tests.payload.builders import an_envelope


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"parent_beacon_block_root": b""}, "parentBeaconBlockRoot"),
        ({"block_hash": bytes(33)}, "blockHash"),
        ({"fee_recipient": bytes(32)}, "feeRecipient"),
        ({"logs_bloom": bytes(32)}, "logsBloom"),
        ({"withdrawals_root": b""}, "withdrawalsRoot"),
        ({"extra_data": bytes(33)}, "extraData"),
        ({"height": -1}, "blockNumber"),
        ({"height": 2**64}, "blockNumber"),
        ({"blob_gas_used": 2**64}, "blobGasUsed"),
        ({"excess_blob_gas": -1}, "excessBlobGas"),
        ({"base_fee_per_gas": 2**256}, "baseFeePerGas"),
        ({"transactions": (b"",) * (2**20 + 1)}, "transactions"),
        ({"withdrawals": (Withdrawal(0, 0, bytes(20), 0),) * 17}, "withdrawals"),
        ({"withdrawals": (Withdrawal(0, 0, bytes(20), 2**64),)}, "withdrawals[0].amount"),
        ({"withdrawals": (Withdrawal(0, 0, b"", 0),)}, "withdrawals[0].address"),
        ({"withdrawals": None}, "withdrawals"),
        ({"blob_gas_used": None}, "blobGasUsed"),
        ({"excess_blob_gas": None}, "excessBlobGas"),
    ],
)
def test_envelope_that_cannot_be_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        an_envelope(4, **changes)

    assert caught.value.field == named


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_version_follows_from_the_fields_present(version: int) -> None:
    assert an_envelope(version).version == version


def test_zero_is_present() -> None:
    """A zero in an optional field is a value, not an absence."""
    assert an_envelope(3, blob_gas_used=0, excess_blob_gas=0).version == 3
    assert an_envelope(2, withdrawals=()).version == 2
