"""Chooses the survivor that a cluster is recovered from, or refuses to guess.

Law: chosen is whom Raft itself would let lead: the highest last term, then the highest last index.
What an operator names with `--from` is taken even where the choice would be refused, except for a
state that nothing can be recovered from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conductor.errors import NotFound, Refused, StoreDamaged, StoreMismatch
from raft_state.raft import Configuration
from raft_state.recover.divergence import Divergence, compare
from raft_state.recover.survivor import Survivor


def choose_source(survivors: Sequence[Survivor], wanted: str | None) -> Survivor:
    """The survivor to recover from. NotFound: no state, or none of that name.

    StoreDamaged: the most advanced cannot be recovered from. Refused, StoreMismatch: it cannot be
    told which one that is, or whose state it is.
    """
    named = next((each for each in survivors if each.server_id == wanted), None)
    if wanted is not None and named is None:
        raise NotFound(f"--from {wanted}: there is no such node here, only {_names(survivors)}")
    with_state = [each for each in survivors if each.last_index or not each.is_position_known]
    if not with_state or (named is not None and named not in with_state):
        whose = _names(survivors) if named is None else named.server_id
        raise NotFound(
            f"there is no state to recover, neither entry nor snapshot, of {whose}: restore a "
            "backup, or make a new cluster with op-conductor-init generate"
        )
    source = named or _most_advanced(with_state)
    if source.problems:
        raise StoreDamaged(_unusable(source, with_state))
    if named is None:
        _require_one_cluster(source, with_state)
    return source


def divergences(
    source: Survivor, survivors: Sequence[Survivor], *, is_explained: bool
) -> tuple[Divergence, ...]:
    """How the other survivors differ from the source. Refused: in a way that Raft cannot leave.

    `is_explained`: nothing is refused, since an operator chose the source, or a recovery that was
    interrupted here has left some of the directories as they were.
    """
    found = tuple(compare(source, each) for each in survivors if each is not source)
    contradictions = [each.contradiction for each in found if each.contradiction]
    if contradictions and not is_explained:
        raise Refused(
            f"nothing was changed: these are not what one history leaves: "
            f"{'; '.join(contradictions)}. Take away the directory that does not belong to the "
            "cluster, or name with --from the one whose state shall hold"
        )
    return found


def divergence_warnings(source: Survivor, found: Sequence[Divergence]) -> Iterator[str]:
    """What of the other survivors will be lost, a sentence each."""
    for each in found:
        if each.contradiction:
            yield f"not what one history leaves: {each.contradiction}"
        if each.drops:
            yield (
                f"{each.server_id} diverges from {source.server_id}: its entries "
                f"{each.dropped_first} to {each.dropped_last} are in no other directory that "
                "is kept, and are lost"
            )


def _most_advanced(survivors: Sequence[Survivor]) -> Survivor:
    unknown = [each for each in survivors if not each.is_position_known]
    if unknown:
        raise Refused(
            f"nothing was changed: it cannot be told how far {unknown[0].server_id} had come "
            f"({'; '.join(unknown[0].problems)}), so it may be the most advanced: name with --from "
            f"the node to recover from: {_positions(survivors)}"
        )
    return max(survivors, key=lambda each: each.position)


def _unusable(source: Survivor, survivors: Sequence[Survivor]) -> str:
    others = [each for each in survivors if not each.problems]
    way_out = "restore a backup of it"
    if others:
        way_out += ", or name another with --from, at the price of what it lacks: "
        way_out += _positions(others)
    return (
        f"nothing can be recovered from {source.server_id} ({source.position_text}), nothing was "
        f"changed: {'; '.join(source.problems)}: {way_out}"
    )


def _require_one_cluster(source: Survivor, survivors: Sequence[Survivor]) -> None:
    """StoreMismatch when folders are called after servers that they are not of."""
    ids = _ids(source.configuration)
    if ids and source.server_id not in ids:
        raise StoreMismatch(
            f"{source.directory} is not the state of {source.server_id!r}: its members are "
            f"{', '.join(sorted(ids))}. Call the folder after the server whose state it is, or "
            f"give --from {source.server_id} if it is meant"
        )
    for each in survivors:
        others = _ids(each.configuration)
        if ids and others and ids.isdisjoint(others):
            raise StoreMismatch(
                f"{source.server_id} and {each.server_id} are of different clusters, with the "
                f"members {', '.join(sorted(ids))} and {', '.join(sorted(others))}: take away the "
                "directory that does not belong, or name with --from the one whose state shall hold"
            )


def _ids(configuration: Configuration | None) -> frozenset[str]:
    servers = configuration.servers if configuration is not None else ()
    return frozenset(server.server_id for server in servers)


def _names(survivors: Sequence[Survivor]) -> str:
    return ", ".join(each.server_id for each in survivors)


def _positions(survivors: Sequence[Survivor]) -> str:
    return ", ".join(
        f"{each.server_id} ({each.position_text if each.is_position_known else 'not known'})"
        for each in survivors
    )
