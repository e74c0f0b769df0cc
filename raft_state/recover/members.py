"""Who shall be in the recovered cluster: read from `id=host:port` texts, checked as a whole.

Invariant: a configuration that is returned is one that Raft would take, and everything that is
wrong with a request is said at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence

from conductor.errors import ConfigError, InvalidArgument
from raft_state.node import check_server_id, folder_of, parse_address
from raft_state.raft import Configuration, Server, Suffrage


def parse_members(members: Sequence[str], nonvoters: Sequence[str] = ()) -> Configuration:
    """The configuration of these members, each `id=host:port`, in their order.

    `nonvoters`: the ids of those that follow without a vote. ConfigError names all that is wrong.
    """
    if not members:
        raise ConfigError(
            "--members is missing: name every member of the recovered cluster, such as "
            "sequencer-1=10.0.0.1:50050,sequencer-2=10.0.0.2:50050"
        )
    servers = [_server(text, nonvoters) for text in members]
    problems = [
        *(problem for text in members for problem in _member_problems(text)),
        *_repeated((folder_of(each.server_id), each.server_id) for each in servers),
        *_repeated((_place(each.address), each.address) for each in servers),
        *_nonvoter_problems(nonvoters, [each.server_id for each in servers]),
    ]
    if not problems and not Configuration(tuple(servers)).voters:
        problems.append("--nonvoters names every member: without a voter nothing can be committed")
    if len(problems) > 1:
        heading = f"{len(problems)} things are wrong, nothing was changed:"
        raise ConfigError("\n  - ".join([heading, *problems]))
    if problems:
        raise ConfigError(problems[0])
    return Configuration(tuple(servers))


def _server(text: str, nonvoters: Sequence[str]) -> Server:
    # An address has no "=" in it, and an id may.
    server_id, _, address = text.rpartition("=")
    suffrage = Suffrage.NONVOTER if server_id in nonvoters else Suffrage.VOTER
    return Server(server_id, address, suffrage)


def _member_problems(text: str) -> Iterator[str]:
    server_id, equals, address = text.rpartition("=")
    if not text:
        yield "--members has an empty item: is there a comma too many?"
    elif not equals or not server_id:
        yield f"--members: {text!r} is not id=host:port, such as sequencer-1=10.0.0.1:50050"
    else:
        try:
            check_server_id(server_id)
        except InvalidArgument as error:
            yield f"--members: {server_id!r} {error}"
        try:
            parse_address(address)
        except InvalidArgument as error:
            yield f"--members: {address!r} {error}"


def _place(address: str) -> Hashable:
    try:
        return parse_address(address)
    except InvalidArgument:
        return address


def _repeated(items: Iterable[tuple[Hashable, str]]) -> Iterator[str]:
    """Texts that stand for the same thing. Empty ones are named elsewhere."""
    alike = defaultdict(list)
    for meaning, text in items:
        if text:
            alike[meaning].append(text)
    for texts in alike.values():
        if len(texts) > 1:
            yield f"--members: {' and '.join(map(repr, texts))} are the same"


def _nonvoter_problems(nonvoters: Sequence[str], server_ids: Sequence[str]) -> Iterator[str]:
    for server_id in dict.fromkeys(nonvoters):
        if server_id not in server_ids:
            yield f"--nonvoters: {server_id!r} is not one of --members: {', '.join(server_ids)}"
