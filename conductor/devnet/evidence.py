"""What one node's disk proves, worked out anew from the bytes on it.

Invariant: nothing here is taken from a conductor's word. The chain is followed from the genesis
or the base on, bodies are hashed and their headers read again, and the certificate is checked
with the public keys that the devnet itself gave out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from conductor.core.values import (
    Base,
    BlockReference,
    Digest,
    Entry,
    EntryKind,
    Genesis,
    Height,
)
from conductor.errors import ConductorError, InvalidPayload, RequestError
from conductor.identity import verify_signature
from conductor.payload import validate_ssz
from conductor.ports import Store, StoredState


@dataclass(frozen=True, slots=True)
class HeldPayload:
    """A payload in a node's log, as its body says. Hashes are hex."""

    node: str
    index: int
    height: int
    block_hash: str
    parent_hash: str
    payload_hash: str
    """SHA-256 of the body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a node's disk holds, and what is wrong with it."""

    server_id: str
    digests: Mapping[int, Digest] = field(default_factory=dict)
    """Of the base and every entry, by index."""
    payloads: tuple[HeldPayload, ...] = ()
    """In the order of the log."""
    is_pruned: bool = False
    """Whether payloads below these were removed."""
    certified_index: int = 0
    """As far as a certificate proves it; 0 when there is none, or none that holds."""
    certified_epoch: int = 0
    signers: tuple[str, ...] = ()
    """Whose acknowledgements make the certificate."""
    problems: tuple[str, ...] = ()

    @property
    def certified_payloads(self) -> tuple[HeldPayload, ...]:
        """Those that the certificate covers."""
        return tuple(held for held in self.payloads if held.index <= self.certified_index)

    @property
    def certified_height(self) -> int:
        """Of the newest certified payload; 0 when there is none."""
        return max((held.height for held in self.certified_payloads), default=0)

    @property
    def pruned_height(self) -> int:
        """Payloads up to this height were removed, and cannot be judged here any more."""
        return self.payloads[0].height - 1 if self.is_pruned and self.payloads else 0


def read_evidence(
    server_id: str, open_store: Callable[[], Store], public_keys: Mapping[str, bytes]
) -> Evidence:
    """Examine the store of a node that does not run. What is wrong with it is in the evidence.

    `public_keys`: of all voters, by server id, 32 bytes each.
    """
    try:
        store = open_store()
        try:
            return _examine(server_id, store, public_keys)
        finally:
            store.close()
    except ConductorError as error:
        return Evidence(server_id=server_id, problems=(f"its store cannot be read: {error}",))


def _examine(server_id: str, store: Store, public_keys: Mapping[str, bytes]) -> Evidence:
    state = store.load()
    if state.genesis is None or state.base is None:
        return Evidence(server_id=server_id, problems=("it never became part of the cluster",))
    proof_problems = (
        *_genesis_problems(state.genesis, public_keys),
        *_chain_problems(state.genesis, state.base, state.entries),
        *_certificate_problems(state, state.genesis),
    )
    payloads, body_problems = _read_payloads(server_id, store, state.entries)
    certificate = state.certificate if not proof_problems else None
    acknowledgements = certificate.acknowledgements if certificate is not None else ()
    return Evidence(
        server_id=server_id,
        digests={
            position.index: position.digest
            for position in (state.base.position, *(entry.position for entry in state.entries))
        },
        payloads=payloads,
        is_pruned=state.base.position.index > 0,
        certified_index=certificate.index if certificate is not None else 0,
        certified_epoch=certificate.epoch if certificate is not None else 0,
        signers=tuple(acknowledgement.member.server_id for acknowledgement in acknowledgements),
        problems=(*proof_problems, *body_problems),
    )


def _genesis_problems(genesis: Genesis, public_keys: Mapping[str, bytes]) -> Iterator[str]:
    found = {str(voter.server_id): voter.public_key for voter in genesis.voters}
    if found.keys() != public_keys.keys():
        yield f"its genesis names the voters {', '.join(sorted(found))}"
    for server_id, public_key in found.items():
        if public_keys.get(server_id, public_key) != public_key:
            yield f"its genesis has another public key for {server_id} than the devnet gave it"


def _chain_problems(genesis: Genesis, base: Base, entries: tuple[Entry, ...]) -> Iterator[str]:
    last = base.position
    if last.index == 0 and last.digest != genesis.cluster_id:
        yield "its log does not begin at its genesis"
    for entry in entries:
        if entry.index != last.index + 1 or entry.previous_digest != last.digest:
            yield f"entry {entry.index} of its log does not follow entry {last.index}"
        last = entry.position


def _certificate_problems(state: StoredState, genesis: Genesis) -> Iterator[str]:
    """No membership ever changes here, so that of the genesis judges every certificate."""
    certificate = state.certificate
    if certificate is None:
        return
    try:
        certificate.check(genesis.cluster_id, genesis.membership, verify_signature)
    except RequestError as error:
        yield f"its certificate proves nothing: {error}"
    if certificate.position not in {entry.position for entry in state.entries}:
        yield f"its certificate is for an entry {certificate.index} that is not in its log"


def _read_payloads(
    server_id: str, store: Store, entries: tuple[Entry, ...]
) -> tuple[tuple[HeldPayload, ...], tuple[str, ...]]:
    """The payloads whose bodies are what their entries say, and a problem for each other one."""
    payloads: list[HeldPayload] = []
    problems: list[str] = []
    for entry in entries:
        if entry.kind is not EntryKind.PAYLOAD:
            continue
        try:
            payloads.append(_read_payload(server_id, entry, store.read_body(entry.index)))
        except ConductorError as error:
            problems.append(f"the body of entry {entry.index}: {error}")
    return tuple(payloads), tuple(problems)


def _read_payload(server_id: str, entry: Entry, body: bytes) -> HeldPayload:
    """InvalidPayload or TooLarge when the body is not what the entry says."""
    header = validate_ssz(body)
    payload_hash = hashlib.sha256(body).digest()
    block = BlockReference(Height(header.height), header.block_hash, header.parent_hash)
    if payload_hash != entry.body_hash or block != entry.block:
        raise InvalidPayload("payload", "is another one than its entry names")
    return HeldPayload(
        node=server_id,
        index=entry.index,
        height=header.height,
        block_hash=header.block_hash.hex(),
        parent_hash=header.parent_hash.hex(),
        payload_hash=payload_hash.hex(),
    )
