"""What a new cluster shall be: asked for in words, checked as a whole, then certain.

Invariant: there is no plan for a cluster that could not start. Everything that is wrong with a
request is found before anything is written, and is said at once.
"""

from __future__ import annotations

import difflib
import enum
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from conductor.errors import ConfigError, InvalidArgument
from raft_state.node import (
    DISCARDED,
    REPLACED,
    RESTORING,
    check_server_id,
    folder_of,
    parse_address,
)
from raft_state.raft import Configuration, Server, Suffrage, decode_command

TERM_MAX = 2**63 - 1

BACKUP_FILES = ("manifest.json", "backup-metadata.txt")
"""What lies beside the nodes' folders in a backup."""

_SUFFIX_BYTES = max(map(len, (RESTORING, REPLACED, DISCARDED))) + len("20250707-120000-999")
SERVER_ID_BYTES_MAX = 255 - _SUFFIX_BYTES
"""Of UTF-8: `restore` makes folders beside a node's whose names are longer than its own."""


class LeaderMode(enum.Enum):
    """How the initial leader is told to Raft."""

    VOTE = "vote"
    """All logs are alike; the leader has a vote for itself on record, which Raft does not heed."""
    ENFORCED = "enforced"
    """Only the leader's log makes the other nodes voters, so that no other can win."""


@dataclass(frozen=True, slots=True)
class ClusterRequest:
    """What somebody asks for; nothing in it has been checked."""

    addresses: Sequence[str]
    """host:port of each node, as the others reach it."""
    server_ids: Sequence[str]
    """In the same order."""
    initial_leader: str
    initial_term: int = 1
    nonvoters: Sequence[str] = ()
    """The ids of the nodes that follow without a vote."""
    leader_mode: LeaderMode = LeaderMode.VOTE
    network: str = ""
    """A label for people: it is in the report and nowhere else."""
    payload: bytes = field(default=b"", repr=False)
    """What every log ends with, as SSZ: the block that the cluster goes on from; or nothing."""


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """A cluster that can start."""

    configuration: Configuration
    """All members, in the order in which they were asked for."""
    initial_leader: str
    initial_term: int
    leader_mode: LeaderMode
    network: str
    warnings: tuple[str, ...]
    payload: bytes = field(default=b"", repr=False)
    """As SSZ; empty when there is none."""

    @property
    def server_ids(self) -> tuple[str, ...]:
        """In the same order."""
        return tuple(server.server_id for server in self.configuration.servers)


def make_plan(request: ClusterRequest) -> ClusterPlan:
    """Check a request. ConfigError names everything that is wrong with it."""
    problems = [
        *_list_problems(request),
        *_id_problems(request.server_ids),
        *_address_problems(request.addresses),
        *_leader_problems(request),
        *_nonvoter_problems(request),
        *_term_problems(request.initial_term),
        *_payload_problems(request),
    ]
    if problems:
        raise ConfigError(_sentence(problems))
    servers = tuple(
        Server(
            server_id,
            address,
            Suffrage.NONVOTER if server_id in request.nonvoters else Suffrage.VOTER,
        )
        for server_id, address in zip(request.server_ids, request.addresses, strict=True)
    )
    configuration = Configuration(servers)
    return ClusterPlan(
        configuration=configuration,
        initial_leader=request.initial_leader,
        initial_term=request.initial_term,
        leader_mode=request.leader_mode,
        network=request.network,
        warnings=tuple(_voter_warnings(len(configuration.voters))),
        payload=request.payload,
    )


def _list_problems(request: ClusterRequest) -> Iterator[str]:
    addresses, ids = len(request.addresses), len(request.server_ids)
    if not addresses:
        yield "--nodes is missing: name the address of every node, such as seq-1:50050,seq-2:50050"
    if not ids:
        yield "--server-ids is missing: name every node, in the order of --nodes"
    if addresses and ids and addresses != ids:
        yield (
            f"--nodes has {addresses} addresses and --server-ids has {ids} ids: "
            "each node has one of both, in the same order"
        )


def _id_problems(server_ids: Sequence[str]) -> Iterator[str]:
    yield from _item_problems("--server-ids", server_ids, _check_folder)
    folders = defaultdict(list)
    for server_id in dict.fromkeys(server_ids):
        folders[folder_of(server_id)].append(server_id)
    for alike in folders.values():
        if len(alike) > 1:
            names = " and ".join(map(repr, alike))
            yield f"--server-ids: {names} are the same folder on systems that ignore case"


def _check_folder(server_id: str) -> None:
    """InvalidArgument unless all commands can handle a node's folder of this name."""
    check_server_id(server_id)
    size = len(server_id.encode())
    if size > SERVER_ID_BYTES_MAX:
        raise InvalidArgument(
            f"has {size} bytes: {SERVER_ID_BYTES_MAX} at most, since a restore puts "
            f"{_SUFFIX_BYTES} more behind it"
        )
    if folder_of(server_id) in BACKUP_FILES:
        raise InvalidArgument("is the name of a file in every backup")


def _address_problems(addresses: Sequence[str]) -> Iterator[str]:
    yield from _item_problems("--nodes", addresses, parse_address)
    places = defaultdict(list)
    for address in dict.fromkeys(addresses):
        try:
            places[parse_address(address)].append(address)
        except InvalidArgument:
            continue  # named above
    for alike in places.values():
        if len(alike) > 1:
            yield f"--nodes: {' and '.join(map(repr, alike))} are the same address"


def _item_problems(
    flag: str, items: Sequence[str], check: Callable[[str], object]
) -> Iterator[str]:
    """What is wrong with the items of a list one by one, and which of them are there twice."""
    for position, item in enumerate(items, 1):
        if not item.strip():
            yield f"{flag}: item {position} is empty: is there a comma too many?"
    for item, count in Counter(filter(str.strip, items)).items():
        if count > 1:
            yield f"{flag}: {item!r} is there {count} times"
        try:
            check(item)
        except InvalidArgument as error:
            yield f"{flag}: {item!r} {error}"


def _leader_problems(request: ClusterRequest) -> Iterator[str]:
    leader = request.initial_leader
    if not leader:
        yield "--initial-leader is missing: name one of --server-ids"
    elif leader not in request.server_ids:
        yield f"--initial-leader: {_unknown(leader, request.server_ids)}"
    elif leader in request.nonvoters:
        yield f"--initial-leader: {leader!r} is one of --nonvoters, and only a voter can lead"


def _nonvoter_problems(request: ClusterRequest) -> Iterator[str]:
    for server_id, count in Counter(request.nonvoters).items():
        if not server_id:
            yield "--nonvoters has an empty item: is there a comma too many?"
        elif server_id not in request.server_ids:
            yield f"--nonvoters: {_unknown(server_id, request.server_ids)}"
        elif count > 1:
            yield f"--nonvoters: {server_id!r} is there {count} times"


def _term_problems(term: int) -> Iterator[str]:
    if term < 1:
        yield (
            f"--initial-term {term}: terms count from 1; Raft takes a node in term 0 for one "
            "that has no state"
        )
    elif term > TERM_MAX:
        yield (
            f"--initial-term {term} is above {TERM_MAX}: every election adds 1, and past 64 bits "
            "the count starts over, so that no node would follow a new leader; above 63 bits, "
            "tools with signed numbers misread it"
        )


def _payload_problems(request: ClusterRequest) -> Iterator[str]:
    found = decode_command(request.payload, all_transactions=True)
    if request.payload and not found.is_applied:
        yield f"the payload is none that op-conductor can read: {found.problem}"
    if request.payload and request.leader_mode is LeaderMode.ENFORCED:
        yield "with a payload all logs have to be alike: leave out --leader-mode enforced"


def _unknown(server_id: str, server_ids: Iterable[str]) -> str:
    near = difflib.get_close_matches(server_id, list(server_ids), n=1)
    hint = f": did you mean {near[0]!r}?" if near else ""
    return f"{server_id!r} is not one of --server-ids{hint}"


def _voter_warnings(voters: int) -> Iterator[str]:
    if voters == 1:
        yield "there is one voter: when it fails, nothing takes over"
    elif voters % 2 == 0:
        yield (
            f"{voters} voters need {voters // 2 + 1} of them to agree, so they survive no more "
            f"failures than {voters - 1} do: an odd number is better"
        )


def _sentence(problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return "\n  - ".join([f"{len(problems)} things are wrong, nothing was written:", *problems])
