"""A stopped cluster of conductors as Raft states for Go op-conductors.

Law: whoever wins Raft's first election has the newest payload, for it is in every log, and every
term that follows is above every epoch that came before. Nothing is written unless all of it can be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from conductor.core.pinning import listed
from conductor.core.values import BlockReference, Index, ServerId
from conductor.errors import ConfigError, InvalidArgument, Refused
from conductor.migration.stopped_cluster import (
    NewestPayload,
    StoppedCluster,
    open_stopped_cluster,
)
from raft_state.generate import ClusterRequest, Member, generate_cluster
from raft_state.node import check_server_id
from raft_state.raft import decode_command

TERM_MAX = 2**63 - 1
"""Above this, tools with signed numbers misread a term."""


@dataclass(frozen=True, slots=True)
class ToRaftReport:
    """The Raft states that were written, or would be."""

    output_dir: Path
    members: tuple[Member, ...]
    term: int
    block: BlockReference | None
    """Of the newest payload; None when there is none."""
    payload_bytes: int
    payload_index: Index | None
    """Of its entry in the conductors' log; 0 when it is in none."""
    is_certified: bool
    stores: tuple[ServerId, ...]
    """Whose were read."""
    remarks: tuple[str, ...]
    next_steps: tuple[str, ...]
    is_written: bool
    """False after a dry run."""


def write_raft_states(
    data_dirs: Sequence[Path],
    output_dir: Path,
    *,
    addresses: Mapping[str, str],
    without_quorum: bool = False,
    dry_run: bool = False,
) -> ToRaftReport:
    """Write `<output_dir>/<server id>` for every member, from the stores of a stopped cluster.

    `addresses`: where Raft listens, by server id; others keep their gRPC address. `without_quorum`:
    an operator's word that the stores that are not given are lost. Refused: too few stores, a
    payload that op-conductor cannot read, or something is in the way. ConfigError, StoreError,
    NotFound: as of `open_stopped_cluster`. After any of them nothing is written.
    """
    with open_stopped_cluster(data_dirs) as cluster:
        _check_addresses(cluster, addresses)
        _check_enough(cluster, without_quorum=without_quorum)
        payload = cluster.newest_payload()
        if payload is not None:
            _check_readable(payload)
        request = _request(cluster, payload, addresses)
        # The stores stay locked until the Raft states are there: no conductor goes on meanwhile.
        generated = generate_cluster(request, output_dir, dry_run=dry_run)
        return ToRaftReport(
            output_dir=output_dir,
            members=generated.members,
            term=generated.initial_term,
            block=payload.block if payload is not None else None,
            payload_bytes=len(payload.ssz) if payload is not None else 0,
            payload_index=payload.index if payload is not None else None,
            is_certified=payload is not None and payload.is_certified,
            stores=tuple(one.key.server_id for one in cluster.stores),
            remarks=_remarks(cluster, payload, addresses),
            next_steps=generated.next_steps,
            is_written=generated.written,
        )


def _check_addresses(cluster: StoppedCluster, addresses: Mapping[str, str]) -> None:
    ids = [member.server_id for member in cluster.membership.members]
    strangers = sorted(set(addresses).difference(ids))
    if strangers:
        raise ConfigError(f"--nodes names {listed(strangers)}, but the members are {listed(ids)}")
    for server_id in ids:
        try:
            check_server_id(server_id)
        except InvalidArgument as error:
            raise Refused(
                f"the server id '{server_id}' {error}: a node of Raft has a directory of that name"
            ) from error


def _check_enough(cluster: StoppedCluster, *, without_quorum: bool) -> None:
    if cluster.missing_voters and not without_quorum:
        raise Refused(
            f"of {len(cluster.membership.voters)} voters {listed(cluster.absent)} are not among "
            f"these stores, and one of them may have certified more: add {cluster.missing_voters} "
            "of them, stopped; --without-quorum is your word that they are lost for good"
        )


def _check_readable(payload: NewestPayload) -> None:
    found = decode_command(payload.ssz, all_transactions=True)
    if not found.is_applied:
        raise Refused(
            f"the newest payload, block {payload.block.height}, is {found.problem}: certify a "
            "block of Ecotone or later first"
        )


def _request(
    cluster: StoppedCluster, payload: NewestPayload | None, addresses: Mapping[str, str]
) -> ClusterRequest:
    members = cluster.membership.members
    voters = [voter.server_id for voter in cluster.membership.voters]
    term = max(1, cluster.highest_epoch)
    if term > TERM_MAX:
        raise Refused(f"epoch {term} is too high for a term of Raft: {TERM_MAX} is the highest")
    leader = cluster.last_leader
    return ClusterRequest(
        addresses=[addresses.get(one.server_id, one.grpc_address) for one in members],
        server_ids=[one.server_id for one in members],
        initial_leader=leader if leader in voters else voters[0],
        initial_term=term,
        nonvoters=[one.server_id for one in members if not one.voter],
        payload=payload.ssz if payload is not None else b"",
    )


def _remarks(
    cluster: StoppedCluster, payload: NewestPayload | None, addresses: Mapping[str, str]
) -> tuple[str, ...]:
    remarks: list[str] = []
    if payload is None:
        remarks.append(
            "no payload was ever certified, so the Raft states hold none: op-conductor begins at "
            "the head of its own op-node"
        )
    elif not payload.is_certified:
        remarks.append(
            f"whether block {payload.block.height} was certified is not known: it ends the best "
            "log, which the next leader would have taken over, so it is kept. op-conductor brings "
            "it to an op-node that lacks it"
        )
    if cluster.missing_voters:
        remarks.append(
            f"the stores of {listed(cluster.absent)} were not looked at: what they alone had "
            "certified is lost"
        )
    if not cluster.membership.quorum_safe:
        remarks.append(
            "the quorum threshold was half of the voters or fewer: another store may hold other "
            "certified payloads"
        )
    kept = [one.server_id for one in cluster.membership.members if one.server_id not in addresses]
    if kept:
        remarks.append(
            f"{listed(kept)} keep the gRPC addresses of the conductors for Raft: see --nodes if "
            "op-conductor's consensus is to listen elsewhere"
        )
    return tuple(remarks)
