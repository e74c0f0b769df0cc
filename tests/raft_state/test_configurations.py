"""Members of a cluster: configuration entries, peer lists of old protocols, and foreign text."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor.errors import InvalidArgument
from raft_state.raft import (
    Configuration,
    EncodingDamaged,
    EntryType,
    LogEntry,
    Server,
    Suffrage,
    bytes_of,
    configuration_of,
    configuration_problems,
    decode_configuration,
    decode_peers,
    encode_configuration,
    encode_peers,
    entry_type_name,
    shown,
    text_of,
)
from tests.raft_state.raft_samples import THREE_SERVERS, THREE_SERVERS_CONFIGURATION

ONE_SERVER = Configuration((Server("a", "h:1"),))
ONE_SERVER_FIELDS = b"\xa7Address\xa3h:1\xa2ID\xa1a\xa8Suffrage\x00"
PEER = bytes.fromhex("91ae3132372e302e302e313a37303031")


def a_configuration(server: bytes) -> bytes:
    """Configuration data with one server, however it is written."""
    return b"\x81\xa7Servers\x91" + server


def test_real_configuration_is_read_and_written() -> None:
    assert decode_configuration(THREE_SERVERS) == THREE_SERVERS_CONFIGURATION
    assert encode_configuration(THREE_SERVERS_CONFIGURATION) == THREE_SERVERS


def test_no_servers_are_an_empty_list_or_nil() -> None:
    nobody = Configuration()
    assert encode_configuration(nobody).hex() == "81a75365727665727390"
    assert encode_configuration(nobody, empty_as_nil=True).hex() == "81a753657276657273c0"
    assert decode_configuration(encode_configuration(nobody)) == nobody
    assert decode_configuration(encode_configuration(nobody, empty_as_nil=True)) == nobody


def test_long_names_and_many_servers_have_longer_headers() -> None:
    servers = tuple(Server(f"sequencer-{n}", f"{'x' * 40}:{n}") for n in range(16))
    data = encode_configuration(Configuration(servers))
    assert data.startswith(b"\x81\xa7Servers\xdc\x00\x10\x83\xa7Address\xda\x00\x2ax")
    assert decode_configuration(data).servers == servers


@pytest.mark.parametrize(
    ("suffrage", "packed", "name"),
    [
        (0, "00", "Voter"),
        (1, "01", "Nonvoter"),
        (2, "02", "Staging"),
        (9, "09", "suffrage 9"),
        (200, "d100c8", "suffrage 200"),
        (-1, "ff", "suffrage -1"),
        (-129, "d1ff7f", "suffrage -129"),
    ],
)
def test_suffrage_is_a_signed_number(suffrage: int, packed: str, name: str) -> None:
    server = Server("a", "h:1", suffrage)
    data = encode_configuration(Configuration((server,)))
    assert data.endswith(b"Suffrage" + bytes.fromhex(packed))
    assert decode_configuration(data).servers == (server,)
    assert server.suffrage_name == name
    assert server.is_voter == (suffrage == Suffrage.VOTER)


def test_suffrage_beyond_64_bits_wraps_around_as_in_go() -> None:
    data = a_configuration(b"\x81\xa8Suffrage\xcf" + b"\xff" * 8)
    assert decode_configuration(data).servers == (Server("", "", -1),)
    with pytest.raises(InvalidArgument):
        encode_configuration(Configuration((Server("a", "h:1", 2**63),)))


@pytest.mark.parametrize(
    "data",
    [
        a_configuration(b"\x83" + ONE_SERVER_FIELDS[12:] + ONE_SERVER_FIELDS[:12]),
        a_configuration(b"\x84" + ONE_SERVER_FIELDS + b"\xa3New\x92\x01\xc0"),
        a_configuration(b"\x84" + ONE_SERVER_FIELDS + b"\xa9LongField\xc3"),
        a_configuration(b"\x82" + ONE_SERVER_FIELDS[:17]),
        a_configuration(b"\x93\x00\xa1a\xa3h:1"),
        a_configuration(b"\x94\xc0\xc4\x01a\xd9\x03h:1\x81\x01\x02"),
        b"\x82\xa7Servers\x91\x83" + ONE_SERVER_FIELDS + b"\xa5Other\x01",
        b"\xde\x00\x01\xa7Servers\xdc\x00\x01\x83" + ONE_SERVER_FIELDS + b"trailing",
        b"\x91\x91\x83" + ONE_SERVER_FIELDS,
        b"\x92\x91\x83" + ONE_SERVER_FIELDS + b"\xa1x",
    ],
)
def test_every_form_that_go_reads_is_read(data: bytes) -> None:
    assert decode_configuration(data) == ONE_SERVER
    assert encode_configuration(decode_configuration(data)) != data


@pytest.mark.parametrize("data", [b"\xc0", b"\x80", b"\x90", b"\x81\xa7servers\x91\x80"])
def test_configuration_without_servers_is_empty(data: bytes) -> None:
    assert decode_configuration(data) == Configuration()


def test_nil_server_is_one_without_a_name() -> None:
    assert decode_configuration(a_configuration(b"\xc0")).servers == (Server("", ""),)
    nothing = a_configuration(b"\x83\xa7Address\xc0\xa2ID\xc0\xa8Suffrage\xc0")
    assert decode_configuration(nothing).servers == (Server("", ""),)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "ends where the configuration should begin"),
        (b"garbage", "no configuration"),
        (b"\x81\xa7Servers\x01", "the list of servers is no array"),
        (a_configuration(b"\x01"), "a server is no map"),
        (a_configuration(b"\x81\xa2ID\x01"), "a name is no byte string"),
        (a_configuration(b"\x81\xa8Suffrage\xa1x"), "Suffrage is no whole number"),
        (a_configuration(b"\x81\xa0\xa1x"), "the name of a field is empty"),
        (b"\x81\xa7Servers\xdd\xff\xff\xff\xff", "claims 4294967295 elements"),
        (b"\x81\xa7Servers\xdc\x27\x11" + b"\xc0" * 10_001, "at most 10000"),
        (b"\x81\xa1x" + b"\x91" * 2000, "nested too deep"),
    ],
)
def test_undecodable_configuration_is_damage(data: bytes, reason: str) -> None:
    with pytest.raises(EncodingDamaged, match=reason):
        decode_configuration(data)


def test_every_truncation_of_a_configuration_is_damage() -> None:
    for size in range(len(THREE_SERVERS)):
        with pytest.raises(EncodingDamaged):
            decode_configuration(THREE_SERVERS[:size])


def test_lying_counts_of_servers_cost_little_memory() -> None:
    data = b"\x81\xa7Servers\xdc\x27\x10" + b"\xc0" * 9_999
    tracemalloc.start()
    try:
        with pytest.raises(EncodingDamaged):
            decode_configuration(data)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_peers_of_old_protocols_become_voters_named_by_their_address() -> None:
    assert decode_peers(PEER) == ("127.0.0.1:7001",)
    assert encode_peers(["127.0.0.1:7001"]) == PEER
    for entry_type in (EntryType.ADD_PEER, EntryType.REMOVE_PEER):
        configuration = configuration_of(LogEntry(index=1, term=1, type=entry_type, data=PEER))
        assert configuration == Configuration((Server("127.0.0.1:7001", "127.0.0.1:7001"),))


def test_peers_of_nobody_are_nil() -> None:
    assert encode_peers([]) == b"\xc0"
    assert decode_peers(b"\xc0") == decode_peers(b"\x90") == ()
    assert decode_peers(b"\x92\xc0\x92a\xccb") == ("", "ab")


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x91", b"\x91\x01", b"\xdd\xff\xff\xff\xff"])
def test_undecodable_peers_are_damage(data: bytes) -> None:
    with pytest.raises(EncodingDamaged):
        decode_peers(data)


def test_only_entries_that_set_members_have_a_configuration() -> None:
    def of(entry_type: int, data: bytes | None) -> Configuration | None:
        return configuration_of(LogEntry(index=1, term=1, type=entry_type, data=data))

    assert of(EntryType.CONFIGURATION, THREE_SERVERS) == THREE_SERVERS_CONFIGURATION
    for other in (EntryType.COMMAND, EntryType.NOOP, EntryType.BARRIER, 9):
        assert of(other, THREE_SERVERS) is None
    for entry_type in (EntryType.CONFIGURATION, EntryType.ADD_PEER):
        with pytest.raises(EncodingDamaged):
            of(entry_type, None)


def test_types_have_the_names_that_raft_gives_them() -> None:
    names = ["Command", "Noop", "AddPeer", "RemovePeer", "Barrier", "Configuration", "type 6"]
    assert [entry_type_name(number) for number in range(7)] == names
    assert LogEntry(index=1, term=1, type=4).type_name == "Barrier"


@pytest.mark.parametrize(
    ("servers", "problems"),
    [
        ([Server("a", "h:1"), Server("b", "h:2", Suffrage.NONVOTER)], ()),
        ([], ("there is no voter",)),
        ([Server("a", "h:1", Suffrage.STAGING)], ("there is no voter",)),
        ([Server("", "h:1")], ("a server has an empty id",)),
        ([Server("a", "")], ("a server has an empty address",)),
        ([Server("a", "h:1"), Server("a", "h:2")], ("id a is there twice",)),
        ([Server("a", "h:1"), Server("b", "h:1")], ("address h:1 is there twice",)),
        (
            [Server("", ""), Server("", ""), Server("\udcff", "h:1"), Server("\udcff", "h:2")],
            ("a server has an empty id", "a server has an empty address", "id 0xff is there twice"),
        ),
    ],
)
def test_problems_are_those_that_raft_would_refuse(
    servers: list[Server], problems: tuple[str, ...]
) -> None:
    assert configuration_problems(Configuration(tuple(servers))) == problems


def test_quorum_counts_voters_only() -> None:
    assert THREE_SERVERS_CONFIGURATION.quorum == 1
    assert Configuration(tuple(Server(str(n), f"h:{n}") for n in range(4))).quorum == 3
    assert THREE_SERVERS_CONFIGURATION.server("seq-2") == Server("seq-2", "10.0.0.2:50050", 1)
    assert THREE_SERVERS_CONFIGURATION.server("seq-9") is None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"sequencer-1", "sequencer-1"),
        ("kö:1".encode(), "kö:1"),
        (b"", ""),
        (b"\xff\xfe", "0xfffe"),
        (b"a\nb", "0x610a62"),
        (b"\x1b[31m", "0x1b5b33316d"),
    ],
)
def test_foreign_text_is_shown_without_harm(data: bytes, text: str) -> None:
    assert shown(data) == shown(memoryview(data)) == shown(text_of(data)) == text


def test_names_that_are_no_utf8_keep_their_bytes() -> None:
    data = a_configuration(b"\x83" + ONE_SERVER_FIELDS.replace(b"h:1", b"\xff:\xfe"))
    (server,) = decode_configuration(data).servers
    assert bytes_of(server.address) == b"\xff:\xfe"
    assert encode_configuration(decode_configuration(data)) == data
    with pytest.raises(InvalidArgument):
        bytes_of("\ud800")


TEXTS = st.binary(max_size=50).map(text_of)
SERVERS = st.builds(Server, TEXTS, TEXTS, st.integers(-(2**63), 2**63 - 1))


@given(st.lists(SERVERS, max_size=20).map(tuple).map(Configuration))
def test_configurations_survive_writing_and_reading(configuration: Configuration) -> None:
    assert decode_configuration(encode_configuration(configuration)) == configuration


@given(st.lists(TEXTS, max_size=20).map(tuple))
def test_peers_survive_writing_and_reading(addresses: tuple[str, ...]) -> None:
    assert decode_peers(encode_peers(addresses)) == addresses


@given(st.binary(max_size=200))
def test_any_bytes_are_a_configuration_or_damage(data: bytes) -> None:
    for decode in (decode_configuration, decode_peers):
        try:
            decode(data)
        except EncodingDamaged:
            continue
