"""What a formed cluster holds its members to: the genesis, against greetings and configurations.

Invariant: after a cluster has formed nobody gets in, or comes back, by saying something new. Ids,
keys, incarnations, the cluster name and the quorum rule are those of the genesis; whatever differs
is refused, with a sentence that names the way out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from conductor.core.founding import RaftEnd
from conductor.core.greeting import Greeting
from conductor.core.quorum import MAJORITY, quorum_size
from conductor.core.values import Genesis, Member, ServerId
from conductor.errors import PeerRejected, StoreMismatch


@dataclass(frozen=True, slots=True)
class OwnFacts:
    """What a node knows of itself before it knows anybody else."""

    cluster_name: str
    member: Member
    configured_voters: tuple[str, ...]
    """The gRPC addresses of all voters, its own included, sorted."""
    quorum_rule: int
    version: str
    initial_leader: ServerId | None = None
    """Who shall lead first, as the Raft state says that it began with."""
    raft_end: RaftEnd | None = None
    """How far it had come in the Raft cluster that it began with."""


def check_greeting(genesis: Genesis, greeting: Greeting) -> None:
    """Raise PeerRejected unless the greeting is of a voter of this cluster, as `genesis` pins it.

    A voter that has not stored the genesis yet (it crashed just before) passes: it will take it.
    """
    member = greeting.member
    pinned = genesis.membership.member(member.server_id)
    if pinned is None:
        raise PeerRejected(f"{member.server_id} is no voter of this cluster")
    if greeting.cluster_name != genesis.cluster_name:
        raise PeerRejected(
            f"{member.server_id} belongs to the cluster '{greeting.cluster_name}', "
            f"not to '{genesis.cluster_name}'"
        )
    if greeting.genesis is not None and greeting.genesis.cluster_id != genesis.cluster_id:
        raise PeerRejected(f"{member.server_id} was formed into another cluster")
    if member.incarnation != pinned.incarnation:
        raise PeerRejected(
            f"{member.server_id} is not in the incarnation that the cluster knows: its store was "
            "made anew; it receives the log and counts for nothing until an operator restores it"
        )
    if member.public_key != pinned.public_key:
        raise PeerRejected(f"{member.server_id} has another key than the cluster knows")
    if not _is_rule_of(genesis, greeting.quorum_rule, len(greeting.configured_voters)):
        raise PeerRejected(
            f"{member.server_id} has the quorum threshold {rule_text(greeting.quorum_rule)}, "
            f"the cluster {rule_text(genesis.quorum_rule)}"
        )


def check_restart(genesis: Genesis, own: OwnFacts) -> None:
    """Raise StoreMismatch unless this configuration is what the cluster was formed with."""
    problems = tuple(contradictions(genesis, own))
    if problems:
        raise StoreMismatch(
            f"the cluster of this store has formed, and {'; '.join(problems)}. Start with the "
            "options that it was formed with, or name an empty --data-dir to begin anew"
        )


def contradictions(genesis: Genesis, own: OwnFacts) -> Iterator[str]:
    """How a genesis and a node's own configuration exclude each other, as parts of a sentence."""
    own_id = own.member.server_id
    pinned = genesis.membership.member(own_id)
    if pinned is None:
        ids = listed([voter.server_id for voter in genesis.voters])
        yield f"'{own_id}' is not among its voters {ids} (see --server-id): an operator adds it"
    elif pinned.incarnation != own.member.incarnation:
        yield (
            f"it knows '{own_id}' in another incarnation: this store was made anew, and counts for "
            "nothing until an operator restores it"
        )
    elif pinned.public_key != own.member.public_key:
        yield f"it knows '{own_id}' by another key (see --identity and --identity-key)"
    elif _addresses(pinned) != _addresses(own.member):
        yield (
            f"it knows '{own_id}' at {listed(_addresses(pinned))}, but this server is at "
            f"{listed(_addresses(own.member))} (see --advertise-addr and --grpc-addr)"
        )
    if genesis.cluster_name != own.cluster_name:
        yield f"its --cluster-name is '{genesis.cluster_name}', here it is '{own.cluster_name}'"
    voters = sorted(voter.grpc_address for voter in genesis.voters)
    if not _is_list_of(genesis, voters, own.configured_voters):
        hint = same_host_hint(own.configured_voters, voters)
        named = listed(own.configured_voters)
        yield f"its voters are {listed(voters)}, but --peers names {named}{hint}"
    elif not _is_rule_of(genesis, own.quorum_rule, len(own.configured_voters)):
        yield (
            f"its --quorum-threshold is {rule_text(genesis.quorum_rule)}, "
            f"here it is {rule_text(own.quorum_rule)}"
        )


def _is_list_of(genesis: Genesis, voters: Sequence[str], configured: Sequence[str]) -> bool:
    """Whether all of the configured voters formed the cluster, or most of them and by a quorum."""
    if genesis.quorum_rule == MAJORITY:
        return set(voters) == set(configured)
    return set(voters) <= set(configured) and 2 * len(voters) > len(configured)


def _is_rule_of(genesis: Genesis, rule: int, configured_count: int) -> bool:
    """Whether the genesis has this configured rule, or the number that a quorum made of it."""
    is_partial = len(genesis.voters) < configured_count
    if rule == MAJORITY and genesis.quorum_rule != MAJORITY and is_partial:
        rule = quorum_size(MAJORITY, configured_count)
    return rule == genesis.quorum_rule


def same_host_hint(ours: Sequence[str], theirs: Sequence[str]) -> str:
    """A remark for people when two lists of addresses seem to differ in what they call a host."""
    only_ours = [address for address in ours if address not in theirs]
    only_theirs = [address for address in theirs if address not in ours]
    is_single = len(only_ours) == len(only_theirs) == 1
    for one in only_ours:
        for other in only_theirs:
            (host, _, port), (other_host, _, other_port) = (
                one.rpartition(":"),
                other.rpartition(":"),
            )
            if port == other_port and _is_alias(host, other_host, is_single=is_single):
                return f" ({one} and {other} look like the same host under two names)"
    return ""


def _is_alias(host: str, other: str, *, is_single: bool) -> bool:
    """Both this machine, one short for the other, or the only two that differ and one a number."""
    if _is_loopback(host) and _is_loopback(other):
        return True
    if _is_number(host) or _is_number(other):
        return is_single and _is_number(host) != _is_number(other)
    return host.startswith(f"{other}.") or other.startswith(f"{host}.")


def _is_loopback(host: str) -> bool:
    return host in {"localhost", "[::1]"} or (host.startswith("127.") and _is_number(host))


def _is_number(host: str) -> bool:
    return host.startswith("[") or not host.strip("0123456789.")


def _addresses(member: Member) -> tuple[str, str]:
    return member.grpc_address, member.gateway_address


def listed(names: Sequence[str]) -> str:
    """`[a, b]`, for people."""
    return f"[{', '.join(names)}]"


def rule_text(rule: int) -> str:
    """The quorum rule as operators write it."""
    return "majority" if rule == MAJORITY else str(rule)
