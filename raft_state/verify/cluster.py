"""The rules that no node's directory can break alone: what the nodes of one cluster must agree on.

Invariant: logs are compared side by side, entry by entry, so that no more than one entry of each is
held, however long they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from raft_state.node import NodeLog, all_equal, difference, same_bytes, same_content, side_by_side
from raft_state.raft import EncodingDamaged, LogEntry, decode_entry, shown
from raft_state.verify.configurations import differences, enforced_leader
from raft_state.verify.finding import Findings, NodeSummary
from raft_state.verify.rules import Rule


def review_summaries(nodes: Sequence[NodeSummary], findings: Findings) -> None:
    """Hold what the nodes say of term, members, snapshots and position against each other."""
    for rule in (
        _review_ids,
        _review_terms,
        _review_positions,
        _review_configurations,
        _review_addresses,
        _review_absent,
        _review_snapshots,
    ):
        rule(nodes, findings)


def enforced_followers(nodes: Sequence[NodeSummary]) -> frozenset[str]:
    """Those whom the log of another node will make voters, by the layout of enforced leadership."""
    known = [node.configuration for node in nodes if node.configuration is not None]
    newest = max(known, key=lambda each: (each.term, each.index), default=None)
    return frozenset(
        node.server_id
        for node in nodes
        if node.configuration is not None
        and newest is not None
        and enforced_leader(node.configuration, newest) is not None
    )


def review_logs(logs: Sequence[NodeLog], findings: Findings) -> None:
    """Compare logs: one index and term, one entry; and what agrees once, agreed always before."""
    split: dict[tuple[str, str], int] = {}
    for index, values in side_by_side(logs):
        if len(values) > 1 and not all_equal([value for _, value in values]):
            _review_entry(index, values, split, findings)
        elif len(values) > 1 and split:
            _review_history(index, [name for name, _ in values], split, findings)
    for (one, other), index in split.items():
        findings.add(
            Rule.CLUSTER_TAIL,
            f"from index {index} on the logs of {shown(one)} and {shown(other)} differ in term",
            index=index,
        )


def _review_entry(
    index: int,
    values: list[tuple[str, memoryview]],
    split: dict[tuple[str, str], int],
    findings: Findings,
) -> None:
    """Values at one index differ: say in which way, for each two nodes."""
    entries: dict[str, LogEntry] = {}
    for name, value in values:
        try:
            entries[name] = decode_entry(value).entry
        except EncodingDamaged:
            continue  # said of the node itself already
    raw = dict(values)
    for one, other in combinations(entries, 2):
        if entries[one].term != entries[other].term:
            split.setdefault((one, other), index)
            continue
        _review_history(index, [one, other], split, findings)
        if same_bytes(raw[one], raw[other]):
            continue
        both = f"the entries at index {index}, term {entries[one].term} of {shown(one)} and "
        both += f"{shown(other)} "
        if same_content(entries[one], entries[other]):
            findings.add(Rule.CLUSTER_FORM, both + "differ in their bytes alone", index=index)
        else:
            what = difference(entries[one], entries[other])
            findings.add(Rule.CLUSTER_ENTRY, f"{both}differ in {what}", index=index)


def _review_history(
    index: int, names: list[str], split: dict[tuple[str, str], int], findings: Findings
) -> None:
    """Nodes agree here: any two of them that did not agree before are of different histories."""
    for pair in combinations(names, 2):
        since = split.pop(pair, None)
        if since is not None:
            one, other = map(shown, pair)
            findings.add(
                Rule.CLUSTER_HISTORY,
                f"the logs of {one} and {other} differ in term at index {since} and agree again "
                f"at index {index}",
                index=since,
            )


def _review_ids(nodes: Sequence[NodeSummary], findings: Findings) -> None:
    """No directory is here under two names."""
    names: defaultdict[Path, list[str]] = defaultdict(list)
    for node in nodes:
        names[node.directory.resolve()].append(shown(node.server_id))
    for found in names.values():
        if len(found) > 1:
            findings.add(Rule.CLUSTER_ID, f"{' and '.join(found)} are one directory")


def _review_terms(nodes: Sequence[NodeSummary], findings: Findings) -> None:
    terms = {node.server_id: node.current_term for node in nodes if node.current_term is not None}
    if len(set(terms.values())) > 1:
        said = ", ".join(f"{shown(name)} {term}" for name, term in terms.items())
        findings.add(Rule.CLUSTER_TERMS, f"the current terms differ ({said})")


def _review_positions(nodes: Sequence[NodeSummary], findings: Findings) -> None:
    known = [node for node in nodes if node.is_log_read]
    if len({node.position for node in known}) <= 1:
        return
    term, index = max(node.position for node in known)
    ahead = [shown(node.server_id) for node in known if node.position == (term, index)]
    behind = ", ".join(
        f"{shown(node.server_id)} term {node.position[0]} index {node.position[1]}"
        for node in known
        if node.position != (term, index)
    )
    findings.add(
        Rule.CLUSTER_AHEAD,
        f"{' and '.join(ahead)} {'is' if len(ahead) == 1 else 'are'} ahead with term {term} index "
        f"{index}; behind: {behind}",
    )


def _review_configurations(nodes: Sequence[NodeSummary], findings: Findings) -> None:
    """Whoever differs from the newest configuration is told of, with the differences."""
    known = [(node, node.configuration) for node in nodes if node.configuration is not None]
    if not known:
        return
    newest_node, newest = max(known, key=lambda pair: (pair[1].term, pair[1].index))
    for node, configuration in known:
        changes = differences(configuration.configuration, newest.configuration)
        # In that layout the others are meant to be behind, and said so at the leader.
        if changes and enforced_leader(configuration, newest) is None:
            findings.add(
                Rule.CLUSTER_CONFIGURATION,
                f"{shown(node.server_id)} goes by the configuration at index {configuration.index},"
                f" {shown(newest_node.server_id)} by that at index {newest.index} "
                f"({'; '.join(changes)})",
            )


def _review_addresses(nodes: Sequence[NodeSummary], findings: Findings) -> None:
    """One id has one address, and one address one id, in all that the nodes believe."""
    addresses: defaultdict[str, set[str]] = defaultdict(set)
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for node in nodes:
        if node.configuration is not None:
            for server in node.configuration.configuration.servers:
                addresses[server.server_id].add(server.address)
                owners[server.address].add(server.server_id)
    for server_id, found in addresses.items():
        if len(found) > 1:
            listed = " and ".join(map(shown, sorted(found)))
            findings.add(Rule.CLUSTER_ADDRESS, f"{shown(server_id)} is at {listed}")
    for address, found in owners.items():
        if len(found) > 1:
            listed = " and ".join(map(shown, sorted(found)))
            findings.add(Rule.CLUSTER_ADDRESS, f"{shown(address)} is the address of {listed}")


def _review_absent(nodes: Sequence[NodeSummary], findings: Findings) -> None:
    """Every member that any node knows of has its directory here."""
    present = {node.server_id for node in nodes}
    members = {
        server.server_id: None
        for node in nodes
        if node.configuration is not None
        for server in node.configuration.configuration.servers
    }
    for server_id in members:
        if server_id not in present:
            findings.add(
                Rule.CLUSTER_NODE_MISSING, f"member {shown(server_id)} has no directory here"
            )


def _review_snapshots(nodes: Sequence[NodeSummary], findings: Findings) -> None:
    """Snapshots of the same last entry hold the same state."""
    first: dict[tuple[int, int], NodeSummary] = {}
    for node in nodes:
        if node.snapshot is None:
            continue
        at = (node.snapshot.index, node.snapshot.term)
        other = first.setdefault(at, node)
        assert other.snapshot is not None
        if other.snapshot.checksum != node.snapshot.checksum:
            findings.add(
                Rule.CLUSTER_SNAPSHOT,
                f"the snapshots of {shown(other.server_id)} and {shown(node.server_id)} at index "
                f"{at[0]}, term {at[1]} differ",
            )
