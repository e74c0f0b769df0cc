"""What is wrong, or worth knowing, about the members that a node believes in.

Invariant: pure. Raft checks a configuration when it makes one and never when it loads one, so
everything that it would have refused is looked for here.
"""

from __future__ import annotations

from raft_state.raft import Configuration, Server, Suffrage, configuration_problems, shown
from raft_state.verify.finding import Findings, KnownConfiguration
from raft_state.verify.rules import Rule


def review_latest(latest: KnownConfiguration, server_id: str, findings: Findings) -> None:
    """Judge the configuration that Raft would go by on the node of this id."""
    problems = configuration_problems(latest.configuration)
    _add_problems(Rule.CONFIGURATION_INVALID, latest, problems, findings)
    _review_suffrages(latest, findings)
    _review_self(latest, server_id, findings)
    if not problems:
        _review_voter_count(latest, findings)


def review_replaced(known: KnownConfiguration, findings: Findings) -> None:
    """Judge a configuration that a later one has replaced."""
    problems = configuration_problems(known.configuration)
    _add_problems(Rule.CONFIGURATION_WAS_INVALID, known, problems, findings)


def review_step(before: KnownConfiguration, after: KnownConfiguration, findings: Findings) -> None:
    """Judge the step from one configuration to the next: at most one voter may change."""
    leader = enforced_leader(before, after)
    if leader is not None:
        findings.add(
            Rule.CONFIGURATION_ENFORCED,
            f"the log begins with {shown(leader)} as the only voter and makes others voters in "
            "its second entry",
            place=after.place,
            index=after.index,
        )
        return
    changed = voter_ids(before.configuration) ^ voter_ids(after.configuration)
    if len(changed) <= 1:
        return
    findings.add(
        Rule.CONFIGURATION_LEAP,
        f"from index {before.index} to index {after.index} {len(changed)} voters change at once "
        f"({', '.join(map(shown, sorted(changed)))})",
        place=after.place,
        index=after.index,
    )


def review_newest_step(
    before: KnownConfiguration, latest: KnownConfiguration, findings: Findings
) -> None:
    """Tell how the newest configuration differs from the one before it."""
    changes = differences(before.configuration, latest.configuration)
    if changes and enforced_leader(before, latest) is None:
        findings.add(
            Rule.CONFIGURATION_CHANGED,
            f"the configuration at index {latest.index} (term {latest.term}) changes that at index "
            f"{before.index}: {'; '.join(changes)}",
            place=latest.place,
            index=latest.index,
        )


def enforced_leader(before: KnownConfiguration, after: KnownConfiguration) -> str | None:
    """The member that alone can win the first election, if the two are that layout."""
    if (before.index, after.index) != (1, 2) or before.term != after.term:
        return None
    if member_ids(before.configuration) != member_ids(after.configuration):
        return None
    voters = voter_ids(before.configuration)
    is_layout = len(voters) == 1 and voters < voter_ids(after.configuration)
    return next(iter(voters)) if is_layout else None


def member_ids(configuration: Configuration) -> frozenset[str]:
    """The ids of all members."""
    return frozenset(server.server_id for server in configuration.servers)


def voter_ids(configuration: Configuration) -> frozenset[str]:
    """The ids of the members whose votes count."""
    return frozenset(server.server_id for server in configuration.voters)


def differences(before: Configuration, after: Configuration) -> list[str]:
    """What was done to the members, one phrase for each."""
    old = {server.server_id: server for server in before.servers}
    new = {server.server_id: server for server in after.servers}
    phrases = [f"{member_text(new[name])} was added" for name in new if name not in old]
    phrases += [f"{shown(name)} was removed" for name in old if name not in new]
    for name in new:
        if name in old and old[name] != new[name]:
            phrases.append(f"{member_text(old[name])} became {member_text(new[name])}")
    return phrases


def member_text(server: Server) -> str:
    """A member in a few words."""
    return f"{shown(server.server_id)} at {shown(server.address)} ({server.suffrage_name})"


def _add_problems(
    rule: Rule, known: KnownConfiguration, problems: tuple[str, ...], findings: Findings
) -> None:
    for problem in problems:
        findings.add(
            rule,
            f"the configuration at index {known.index} is wrong ({problem})",
            place=known.place,
            index=known.index,
        )


def _review_suffrages(latest: KnownConfiguration, findings: Findings) -> None:
    known = {int(suffrage) for suffrage in Suffrage}
    for server in latest.configuration.servers:
        if server.suffrage not in known:
            findings.add(
                Rule.CONFIGURATION_SUFFRAGE,
                f"member {shown(server.server_id)} has suffrage {server.suffrage}",
                place=latest.place,
                index=latest.index,
            )


def _review_self(latest: KnownConfiguration, server_id: str, findings: Findings) -> None:
    own = [server for server in latest.configuration.servers if server.server_id == server_id]
    names = ", ".join(shown(server.server_id) for server in latest.configuration.servers)
    if not own:
        findings.add(
            Rule.CONFIGURATION_WITHOUT_SELF,
            f"{shown(server_id)} is not a member; the members are {names or 'none'}",
            place=latest.place,
            index=latest.index,
        )
    elif not any(server.is_voter for server in own):
        findings.add(
            Rule.CONFIGURATION_SELF_NONVOTER,
            f"this node, {member_text(own[0])}, is no voter",
            place=latest.place,
            index=latest.index,
        )


def _review_voter_count(latest: KnownConfiguration, findings: Findings) -> None:
    voters = voter_ids(latest.configuration)
    count = len(voters)
    place, index = latest.place, latest.index
    if count == 1:
        findings.add(
            Rule.CONFIGURATION_VOTERS_ONE,
            f"there is one voter, {shown(next(iter(voters)))}",
            place=place,
            index=index,
        )
    elif count % 2 == 0:
        findings.add(
            Rule.CONFIGURATION_VOTERS_EVEN,
            f"{count} voters survive the loss of {(count - 1) // 2}",
            place=place,
            index=index,
        )
