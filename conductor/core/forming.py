"""Forming a cluster, once (section 5.0): what a node must hear before it stores a genesis.

Invariant: two nodes never store different geneses. A node forms only when every voter, itself
included, proposes one and the same genesis in what it last said; a verdict binds, and from then on
the node proposes nothing else. The genesis names each voter's incarnation and key, so for another
one to form some voter would have to propose both: one, then, after storing that, the other.
This rests on two things outside: an address is asked by one call at a time, and `heard` is given
the answers to these calls only. What a node says is then heard in the order in which it says it.

Of nodes that began with a Raft state the genesis also names the block to go on from
(`inheritance`). Which that is follows from what the voters say, like all else in it.

Forming with a quorum (an operator's word that the absent never ran) turns `majority` into the
majority of *all configured* voters, for however few are present: whichever groups form, at most
one genesis can be held by a quorum of its voters. It also never takes fewer than that majority,
however low a threshold was asked for. A voter that was heard has run, and is never absent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from conductor.core.greeting import Greeting
from conductor.core.inheritance import Estate
from conductor.core.pinning import (
    OwnFacts,
    contradictions,
    listed,
    rule_text,
    same_host_hint,
)
from conductor.core.quorum import MAJORITY, quorum_size
from conductor.core.values import MEMBERS_MAX, Genesis, Member, ServerId
from conductor.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Formed:
    """The cluster has formed: store this genesis before saying anything that rests on it."""

    genesis: Genesis


@dataclass(frozen=True, slots=True)
class Waiting:
    """The cluster has not formed yet; the reasons are sentences for operators."""

    reasons: tuple[str, ...]


class Forming:
    """One node's view of a cluster that is about to form."""

    def __init__(
        self,
        own: OwnFacts,
        *,
        expected_ids: Mapping[str, ServerId] | None = None,
        form_with_quorum: bool = False,
        genesis: Genesis | None = None,
    ) -> None:
        """`expected_ids`: the server ids that the configuration names, by gRPC address.

        `genesis` is what the store holds. ConfigError when no cluster could ever form like this.
        """
        self._own = dataclasses.replace(own, member=_as_voter(own.member))
        self._expected_ids = dict(expected_ids or {})
        self._form_with_quorum = form_with_quorum
        self._chosen = genesis
        self._stored = genesis
        self._heard: dict[str, Greeting] = {}
        self._unreachable: dict[str, str] = {}
        self._ever_heard: set[str] = set()
        self._check_configuration()

    def _check_configuration(self) -> None:
        own_address, voters = self._own.member.grpc_address, self._own.configured_voters
        if own_address not in voters:
            raise ConfigError(f"the voters {listed(voters)} do not include this server")
        if len(voters) > MEMBERS_MAX:
            raise ConfigError(
                f"--peers names {len(voters)} voters: at most {MEMBERS_MAX} are taken"
            )
        quorum_size(self._own.quorum_rule, len(voters))
        own_id = self._own.member.server_id
        if self._expected_ids.get(own_address, own_id) != own_id:
            raise ConfigError(
                f"--peers calls {own_address} '{self._expected_ids[own_address]}', "
                f"but that is this server, and its --server-id is '{own_id}'"
            )

    @property
    def addresses(self) -> tuple[str, ...]:
        """The gRPC addresses of the other configured voters: whom to greet, again and again."""
        own_address = self._own.member.grpc_address
        return tuple(address for address in self._own.configured_voters if address != own_address)

    # What happens

    def heard(self, address: str, greeting: Greeting) -> None:
        """The voter at `address` answered a greeting of this node."""
        self._ever_heard.add(address)
        self._unreachable.pop(address, None)
        self._heard[address] = greeting

    def unreachable(self, address: str, why: str) -> None:
        """The voter at `address` did not answer."""
        self._heard.pop(address, None)
        self._unreachable[address] = why

    def stored(self) -> None:
        """The genesis of the verdict is durable: greetings may carry it."""
        self._stored = self._chosen

    # What follows from it

    def greeting(self, *, paused: bool) -> Greeting:
        """What to say of oneself now, to whoever asks."""
        proposal = self._chosen or self._offered() or self._proposal()
        return Greeting(
            cluster_name=self._own.cluster_name,
            member=self._own.member,
            configured_voters=self._own.configured_voters,
            quorum_rule=self._own.quorum_rule,
            genesis=self._stored,
            proposed_cluster_id=proposal.cluster_id if proposal else None,
            paused=paused,
            version=self._own.version,
            initial_leader=self._own.initial_leader,
            raft_end=self._own.raft_end,
        )

    def verdict(self) -> Formed | Waiting:
        """Whether there is a genesis to store. Formed binds: it is the same ever after."""
        proposal = self._proposal()
        missing = self._missing_echoes(proposal) if proposal else self._objections()
        if self._chosen is None:
            self._chosen = self._offered() or (None if missing else proposal)
        return Formed(self._chosen) if self._chosen else Waiting(missing)

    def remembered_in_another_life(self) -> str:
        """Which voter's cluster knows this server id in another incarnation; empty when none does.

        Then this store is new where an old one should be: a wiped disk, or a wrong directory.
        """
        own = self._own.member
        for address, greeting in self._heard.items():
            pinned = greeting.genesis and greeting.genesis.membership.member(own.server_id)
            if pinned and pinned.incarnation != own.incarnation:
                return _named(address, greeting)
        return ""

    def _offered(self) -> Genesis | None:
        """The genesis that others hold already, if it is as much this node's as theirs."""
        held = {greeting.genesis for greeting in self._heard.values() if greeting.genesis}
        if len(held) != 1:
            return None
        (genesis,) = held
        return None if any(contradictions(genesis, self._own)) else genesis

    def _proposal(self) -> Genesis | None:
        """What this node would form with now; None while anything stands against it."""
        if self._objections():
            return None
        others = [_as_voter(greeting.member) for greeting in self._heard.values()]
        voters = sorted([self._own.member, *others], key=lambda member: member.server_id)
        rule = self._own.quorum_rule
        if len(voters) < len(self._own.configured_voters):
            rule = quorum_size(rule, len(self._own.configured_voters))
        estate = self._estate()
        leader = estate.first_leader(self._initial_leader(voters))
        return Genesis(self._own.cluster_name, rule, tuple(voters), leader, estate.head)

    def _estate(self) -> Estate:
        """What the voters that are here bring along of a Raft cluster."""
        ends = {greeting.member.server_id: greeting.raft_end for greeting in self._heard.values()}
        ends[self._own.member.server_id] = self._own.raft_end
        return Estate(ends, len(self._own.configured_voters))

    def _initial_leader(self, voters: Sequence[Member]) -> ServerId | None:
        """Who leads first: the one voter whom all those name that name any; None when they differ.

        It decides nothing but who tries first, so nodes that differ about it form all the same.
        """
        said = {greeting.initial_leader for greeting in self._heard.values()}
        named = {name for name in (*said, self._own.initial_leader) if name is not None}
        only = named.pop() if len(named) == 1 else None
        return only if any(voter.server_id == only for voter in voters) else None

    def _missing_echoes(self, proposal: Genesis) -> tuple[str, ...]:
        """Who does not propose the same, and so could still form something else."""
        is_partial = len(proposal.voters) < len(self._own.configured_voters)
        hint = ", or was started without --form-with-quorum" if is_partial else ""
        return tuple(
            f"{_named(address, greeting)} has not heard the same of all voters yet{hint}"
            for address, greeting in sorted(self._heard.items())
            if greeting.proposed_cluster_id != proposal.cluster_id
        )

    # What stands against it

    def _objections(self) -> tuple[str, ...]:
        reasons = [reason for address in self.addresses for reason in self._objections_to(address)]
        reasons += [*self._doubles(), *self._rival_geneses(), *self._too_few()]
        # What the voters bring along is known when all of them are.
        return tuple(reasons or self._estate().objections())

    def _objections_to(self, address: str) -> Iterator[str]:
        greeting = self._heard.get(address)
        if greeting is not None:
            yield from self._disagreements(address, greeting)
        elif address not in self._unreachable:
            yield f"{address} was not asked yet"
        elif not self._form_with_quorum:
            yield f"{address} cannot be reached: {self._unreachable[address]}"
        elif address in self._ever_heard:
            yield (
                f"{address} cannot be reached any more ({self._unreachable[address]}), and it has "
                "run: --form-with-quorum is only for voters that never did"
            )

    def _disagreements(self, address: str, greeting: Greeting) -> Iterator[str]:
        own, member = self._own, greeting.member
        who = _named(address, greeting)
        if greeting.cluster_name != own.cluster_name:
            yield (
                f"{who} belongs to the cluster '{greeting.cluster_name}', "
                f"this server to '{own.cluster_name}': see --cluster-name"
            )
            return
        expected_id = self._expected_ids.get(address, member.server_id)
        if member.server_id != expected_id:
            yield f"--peers calls {address} '{expected_id}', but '{member.server_id}' answers there"
        if member.grpc_address != address:
            yield f"{who} calls its own address {member.grpc_address}: name it so in --peers"
        if greeting.configured_voters != own.configured_voters:
            hint = same_host_hint(own.configured_voters, greeting.configured_voters)
            yield (
                f"{who} names the voters {listed(greeting.configured_voters)}, "
                f"this server {listed(own.configured_voters)}{hint}"
            )
        if greeting.quorum_rule != own.quorum_rule:
            yield (
                f"{who} has the quorum threshold {rule_text(greeting.quorum_rule)}, "
                f"this server {rule_text(own.quorum_rule)}: see --quorum-threshold"
            )
        if greeting.genesis is not None:
            for contradiction in contradictions(greeting.genesis, own):
                yield f"{who} is in a cluster that has formed, and {contradiction}"

    def _doubles(self) -> Iterator[str]:
        """Servers that are not two, or that cannot be told apart."""
        members = {address: greeting.member for address, greeting in self._heard.items()}
        members[self._own.member.grpc_address] = self._own.member
        for (address, one), (other_address, other) in combinations(sorted(members.items()), 2):
            pair = f"{address} and {other_address}"
            if one.key == other.key:
                yield f"{pair} are one server, '{one.server_id}', under two names"
            elif one.server_id == other.server_id:
                yield f"{pair} have the same server id '{one.server_id}': see --server-id"
            elif one.public_key == other.public_key:
                yield f"{pair} have the same key: give each server its own --identity"

    def _rival_geneses(self) -> Iterator[str]:
        holders = {
            greeting.genesis: _named(address, greeting)
            for address, greeting in sorted(self._heard.items())
            if greeting.genesis
        }
        if len(holders) > 1:
            yield f"{' and '.join(holders.values())} were formed into different clusters"

    def _too_few(self) -> Iterator[str]:
        """Present voters that are no quorum of all, or could have a twin that is one."""
        voters_count = len(self._own.configured_voters)
        quorum = quorum_size(self._own.quorum_rule, voters_count)
        needed = max(quorum, quorum_size(MAJORITY, voters_count))
        present_count = 1 + len(self._heard)
        if self._form_with_quorum and present_count < needed:
            absent = ", ".join(f"{at}: {why}" for at, why in sorted(self._unreachable.items()))
            yield (
                f"{present_count} of {voters_count} voters are here, and even --form-with-quorum "
                f"needs {needed} (not reached: {absent})"
            )


def _as_voter(member: Member) -> Member:
    return dataclasses.replace(member, voter=True)


def _named(address: str, greeting: Greeting) -> str:
    return f"{greeting.member.server_id} at {address}"
