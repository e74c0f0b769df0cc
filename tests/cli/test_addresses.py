"""Addresses as people write them: one spelling comes out, and everything else is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor.cli.addresses import parse_addresses, parse_peer, parse_peers
from conductor.config import Address, PeerAddress, parse_address
from conductor.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("localhost:0", Address("localhost", 0)),
        ("Seq-1.Example.COM:65535", Address("seq-1.example.com", 65535)),
        ("under_score:1", Address("under_score", 1)),
        ("[::1]:8080", Address("::1", 8080)),
        ("[0:0:0:0:0:0:0:1]:8080", Address("::1", 8080)),
        ("[FE80::1%eth0]:1", Address("fe80::1%eth0", 1)),
        (":8080", Address("0.0.0.0", 8080)),
        ("[::]:8080", Address("::", 8080)),
        ("host:00080", Address("host", 80)),
    ],
)
def test_address_is_read(text: str, expected: Address) -> None:
    assert parse_address(text) == expected


def test_ipv6_address_is_written_with_brackets() -> None:
    assert str(parse_address("[::1]:8080")) == "[::1]:8080"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "names no port"),
        ("host", "names no port"),
        ("[::1]", "names no port"),
        ("host:", "'' is no port"),
        ("host:http", "'http' is no port"),
        ("host:-1", "'-1' is no port"),
        ("host:+80", "'+80' is no port"),
        ("host:٨٠", "is no port"),
        ("host:65536", "port 65536 is above 65535"),
        ("host:" + "9" * 5000, "is above 65535"),
        ("::1:8080", "in brackets, such as [::1]:8080"),
        ("[host]:80", "'host'"),
        ("256.1.1.1:80", "256.1.1.1"),
        ("10.1:80", "10.1"),
        ("http://host:80", "write only host:port"),
        ("a b:80", "'a b' is no host name"),
        ("a/b:80", "'a/b' is no host name"),
        ("user@host:80", "is no host name"),
        ("-host:80", "is no host name"),
        ("h\udcff:80", "is no host name"),
    ],
)
def test_bad_address_is_named(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_address(text)

    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://peer1:8080", PeerAddress(Address("peer1", 18080))),
        ("http://Peer1:8080/", PeerAddress(Address("peer1", 18080))),
        ("HTTP://[::1]:55535", PeerAddress(Address("::1", 65535))),
        ("seq-1=10.0.0.1:9090", PeerAddress(Address("10.0.0.1", 9090), "seq-1")),
        ("127.0.0.1:8081=[::1]:1", PeerAddress(Address("::1", 1), "127.0.0.1:8081")),
        ("a=b=host:1", PeerAddress(Address("host", 1), "a=b")),
    ],
)
def test_peer_is_read(text: str, expected: PeerAddress) -> None:
    assert parse_peer(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://peer:8080", "https is not spoken"),
        ("http://peer", "names no port"),
        ("http://:8080", "can be listened on but not reached"),
        ("http://peer:0", "can be listened on but not reached"),
        ("http://peer:55536", "id=host:grpc-port"),
        ("http://peer:8080/health", "says more than a peer needs"),
        ("http://peer:8080?x=1", "says more than a peer needs"),
        ("http://user@peer:8080", "says more than a peer needs"),
        ("http://[::1:8080", "is no URL"),
        ("peer:8080", "write http://host:8080 (its gateway) or id=host:18080"),
        ("=peer:8080", "is no peer"),
        ("a=peer", "names no port"),
        ("a=0.0.0.0:1", "can be listened on but not reached"),
        ("a b=peer:1", "leave out spaces"),
        ("a\x1b=peer:1", "leave out spaces, commas and control characters"),
        ("a" * 257 + "=peer:1", "1 to 256 bytes"),
    ],
)
def test_bad_peer_is_named(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_peer(text)

    assert expected in str(caught.value)


def test_lists_forgive_blanks_and_empty_items() -> None:
    assert parse_addresses(" a:1 , b:2,") == (Address("a", 1), Address("b", 2))
    assert parse_peers("a=a:1,,b=b:2") == (
        PeerAddress(Address("a", 1), "a"),
        PeerAddress(Address("b", 2), "b"),
    )


@given(st.text())
def test_any_text_is_an_address_or_an_error(text: str) -> None:
    try:
        address = parse_address(text)
    except ConfigError:
        return

    assert parse_address(str(address)) == address


@given(st.text() | st.text().map("http://{}".format) | st.text().map("id={}".format))
def test_any_text_is_a_peer_or_an_error(text: str) -> None:
    try:
        peer = parse_peer(text)
    except ConfigError:
        return

    assert parse_address(str(peer.grpc)) == peer.grpc
