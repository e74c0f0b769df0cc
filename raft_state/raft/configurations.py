"""Who is in the cluster: configurations inside entries, and the peer lists of old protocols.

Law: encoding a decoded configuration gives the same bytes if Go wrote them, so a difference is a
finding. Names and addresses keep every byte (`text_of`), UTF-8 or not.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from raft_state.raft.damage import EncodingDamaged
from raft_state.raft.entries import EntryType, LogEntry
from raft_state.raft.keys import bytes_of, shown, text_of
from raft_state.raft.msgpack import Reader, pack_array, pack_raw, pack_signed

SERVERS_MAX = 10_000
"""More in one configuration are damage: each costs memory, and no cluster comes near."""

_MAP_OF_ONE = b"\x81"
_MAP_OF_THREE = b"\x83"
_SERVERS_KEY = b"\xa7Servers"
_ADDRESS_KEY = b"\xa7Address"
_ID_KEY = b"\xa2ID"
_SUFFRAGE_KEY = b"\xa8Suffrage"
_NAME_BYTES_MAX = 8

# As Go declares them, which is the order of a server that is written as an array.
_SERVER_FIELDS = (b"Suffrage", b"ID", b"Address")


class Suffrage(enum.IntEnum):
    """What a member may do. Raft treats any other number as a nonvoter."""

    VOTER = 0
    NONVOTER = 1
    STAGING = 2
    """Deprecated; in effect a nonvoter."""


@dataclass(frozen=True, slots=True)
class Server:
    """A member of a cluster."""

    server_id: str
    address: str
    """host:port at which the others reach it."""
    suffrage: int = Suffrage.VOTER
    """A `Suffrage`, or a number that Raft does not know."""

    @property
    def is_voter(self) -> bool:
        """Whether its vote counts."""
        return self.suffrage == Suffrage.VOTER

    @property
    def suffrage_name(self) -> str:
        """`Voter`, `Nonvoter`, `Staging`, or `suffrage 9` for what Raft does not know."""
        try:
            return Suffrage(self.suffrage).name.title()
        except ValueError:
            return f"suffrage {self.suffrage}"


@dataclass(frozen=True, slots=True)
class Configuration:
    """All members of a cluster. Their order is kept and means nothing."""

    servers: tuple[Server, ...] = ()

    @property
    def voters(self) -> tuple[Server, ...]:
        """The members whose votes count, in order."""
        return tuple(server for server in self.servers if server.is_voter)

    @property
    def quorum(self) -> int:
        """How many voters must agree."""
        return len(self.voters) // 2 + 1

    def server(self, server_id: str) -> Server | None:
        """The first member of this name."""
        return next((server for server in self.servers if server.server_id == server_id), None)


def encode_configuration(configuration: Configuration, *, empty_as_nil: bool = False) -> bytes:
    """The data of a configuration entry. Go writes no servers as an empty list, or as nil.

    InvalidArgument when a suffrage does not fit 64 bits.
    """
    servers = b"\xc0"
    if configuration.servers or not empty_as_nil:
        servers = pack_array([_pack_server(server) for server in configuration.servers])
    return _MAP_OF_ONE + _SERVERS_KEY + servers


def decode_configuration(data: bytes | memoryview) -> Configuration:
    """Read the data of a configuration entry as Go does. EncodingDamaged when it cannot be."""
    reader = Reader(data)
    what = "the configuration"
    servers: list[Server] = []
    if reader.skip_nil(what):
        return Configuration()
    if reader.is_map(what):
        for _ in range(reader.map_size(what)):
            if _read_name(reader) == b"Servers":
                servers = _read_servers(reader)
            else:
                reader.skip("an unknown field")
    elif reader.is_array(what):
        for place in range(reader.array_size(what)):
            if place == 0:
                servers = _read_servers(reader)
            else:
                reader.skip("an element beyond the fields")
    else:
        raise EncodingDamaged(0, f"it is no configuration (it begins with 0x{reader.peek(''):02x})")
    return Configuration(tuple(servers))


def encode_peers(addresses: Iterable[str]) -> bytes:
    """A list of addresses, as old protocols and snapshots carry it. No addresses are nil in Go."""
    packed = [b"".join(pack_raw(bytes_of(address))) for address in addresses]
    return pack_array(packed) if packed else b"\xc0"


def decode_peers(data: bytes | memoryview) -> tuple[str, ...]:
    """The addresses in a list of peers. EncodingDamaged when it is none."""
    reader = Reader(data)
    what = "the list of peers"
    if reader.skip_nil(what):
        return ()
    count = _bounded(reader, reader.list_size(what), what)
    return tuple(
        "" if reader.skip_nil("a peer") else text_of(reader.octets("a peer")) for _ in range(count)
    )


def configuration_of_peers(addresses: Sequence[str]) -> Configuration:
    """What Raft makes of peers: voters that are named by their address."""
    return Configuration(tuple(Server(address, address) for address in addresses))


def configuration_of(entry: LogEntry) -> Configuration | None:
    """The configuration that an entry sets; None if it is of a type that sets none.

    EncodingDamaged, with the offset inside the entry's data: Raft stops at such an entry.
    """
    data = b"" if entry.data is None else entry.data
    if entry.type == EntryType.CONFIGURATION:
        return decode_configuration(data)
    if entry.type in (EntryType.ADD_PEER, EntryType.REMOVE_PEER):
        return configuration_of_peers(decode_peers(data))
    return None


def configuration_problems(configuration: Configuration) -> tuple[str, ...]:
    """Why Raft would refuse to bootstrap or recover with it. (It loads it from a log all the same.)

    Each problem is named once, however many servers have it.
    """
    servers = configuration.servers
    problems = []
    if any(not server.server_id for server in servers):
        problems.append("a server has an empty id")
    if any(not server.address for server in servers):
        problems.append("a server has an empty address")
    problems += [f"id {text} is there twice" for text in _repeated(s.server_id for s in servers)]
    problems += [f"address {text} is there twice" for text in _repeated(s.address for s in servers)]
    if not configuration.voters:
        problems.append("there is no voter")
    return tuple(problems)


def _repeated(texts: Iterable[str]) -> list[str]:
    return [shown(text) for text, count in Counter(texts).items() if text and count > 1]


def _pack_server(server: Server) -> bytes:
    return b"".join(
        (
            _MAP_OF_THREE,
            _ADDRESS_KEY,
            *pack_raw(bytes_of(server.address)),
            _ID_KEY,
            *pack_raw(bytes_of(server.server_id)),
            _SUFFRAGE_KEY,
            pack_signed(server.suffrage),
        )
    )


def _read_servers(reader: Reader) -> list[Server]:
    what = "the list of servers"
    if reader.skip_nil(what):
        return []
    count = _bounded(reader, reader.list_size(what), what)
    return [_read_server(reader) for _ in range(count)]


def _read_server(reader: Reader) -> Server:
    what = "a server"
    texts = {b"ID": "", b"Address": ""}
    suffrage = 0
    if reader.skip_nil(what):
        names: Iterable[bytes] = ()
    elif reader.is_array(what):
        count = reader.array_size(what)
        # Whatever comes after the known fields is skipped, under no name.
        names = (_SERVER_FIELDS[place] if place < 3 else b"" for place in range(count))
    else:
        names = (_read_name(reader) for _ in range(reader.map_size(what)))
    for name in names:
        if name in texts:
            is_nil = reader.skip_nil("a name")
            texts[name] = "" if is_nil else text_of(reader.raw("a name"))
        elif name == b"Suffrage":
            suffrage = 0 if reader.skip_nil("Suffrage") else reader.signed("Suffrage")
        else:
            reader.skip("an unknown field", depth=3)
    return Server(texts[b"ID"], texts[b"Address"], suffrage)


def _read_name(reader: Reader) -> bytes:
    """The name of a field; empty for one that is too long to be known."""
    name = reader.name()
    return bytes(name) if len(name) <= _NAME_BYTES_MAX else b""


def _bounded(reader: Reader, count: int, what: str) -> int:
    if count > SERVERS_MAX:
        problem = f"{what} claims {count} elements, at most {SERVERS_MAX} are read"
        raise EncodingDamaged(reader.position, problem)
    return count
