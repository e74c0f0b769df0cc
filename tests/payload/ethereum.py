"""Just enough of Ethereum to recompute a block hash: keccak, RLP, the root of a list, headers.

Written from the Yellow Paper and the OP Stack specification, apart from the code under test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import takewhile
from typing import TypeAlias

from Crypto.Hash import keccak as keccak_module

from conductor.payload import Envelope

Item: TypeAlias = "bytes | Sequence[Item]"


def keccak(data: bytes) -> bytes:
    """Keccak-256, which is not the SHA3-256 of hashlib."""
    return keccak_module.new(digest_bits=256, data=data).digest()


def number(value: int) -> bytes:
    """An integer as RLP wants it: big-endian, no leading zero bytes."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def rlp(item: Item) -> bytes:
    """Recursive length prefix encoding of byte strings and lists of them."""
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _prefix(0x80, item) + item
    body = b"".join(rlp(element) for element in item)
    return _prefix(0xC0, body) + body


def _prefix(base: int, body: bytes) -> bytes:
    if len(body) < 56:
        return bytes([base + len(body)])
    size = number(len(body))
    return bytes([base + 55 + len(size)]) + size


def list_root(values: Sequence[bytes]) -> bytes:
    """Root of the trie that maps rlp(position) to each value, as headers have it."""
    if not values:
        return keccak(rlp(b""))
    pairs = {rlp(number(position)).hex(): value for position, value in enumerate(values)}
    return keccak(rlp(_node(pairs)))


def _node(pairs: dict[str, bytes]) -> Item:
    """The trie node of non-empty pairs, whose keys are what is left of their nibbles."""
    if len(pairs) == 1:
        ((key, value),) = pairs.items()
        return [_hex_prefix(key, leaf=True), value]
    alike = takewhile(lambda nibbles: len(set(nibbles)) == 1, zip(*pairs, strict=False))
    shared = "".join(nibbles[0] for nibbles in alike)
    if shared:
        rest = {key[len(shared) :]: value for key, value in pairs.items()}
        return [_hex_prefix(shared, leaf=False), _reference(_node(rest))]
    branches: list[Item] = []
    for nibble in "0123456789abcdef":
        below = {key[1:]: value for key, value in pairs.items() if key.startswith(nibble)}
        branches.append(_reference(_node(below)) if below else b"")
    return [*branches, b""]  # no key of a list is a prefix of another, so no value sits here


def _reference(node: Item) -> Item:
    encoded = rlp(node)
    return node if len(encoded) < 32 else keccak(encoded)


def _hex_prefix(nibbles: str, *, leaf: bool) -> bytes:
    flag = 2 * leaf + len(nibbles) % 2
    return bytes.fromhex(f"{flag:x}{'' if len(nibbles) % 2 else '0'}{nibbles}")


def block_hash(envelope: Envelope) -> bytes:
    """The hash of the block in an envelope, by the rules of its fork."""
    header: list[Item] = [
        envelope.parent_hash,
        keccak(rlp([])),  # no uncles
        envelope.fee_recipient,
        envelope.state_root,
        list_root(envelope.transactions),
        envelope.receipts_root,
        envelope.logs_bloom,
        b"",  # difficulty
        number(envelope.height),
        number(envelope.gas_limit),
        number(envelope.gas_used),
        number(envelope.timestamp),
        envelope.extra_data,
        envelope.prev_randao,
        bytes(8),  # nonce
        number(envelope.base_fee_per_gas),
    ]
    if envelope.withdrawals is not None:
        header.append(envelope.withdrawals_root or _withdrawals_list_root(envelope))
    if envelope.blob_gas_used is not None and envelope.excess_blob_gas is not None:
        header += [number(envelope.blob_gas_used), number(envelope.excess_blob_gas)]
        header.append(envelope.parent_beacon_block_root)
    if envelope.withdrawals_root is not None:
        header.append(hashlib.sha256().digest())  # no requests
    return keccak(rlp(header))


def _withdrawals_list_root(envelope: Envelope) -> bytes:
    return list_root(
        [
            rlp([number(w.index), number(w.validator_index), w.address, number(w.amount)])
            for w in envelope.withdrawals or ()
        ]
    )
