"""The file `meta.json` of a snapshot: written as Go writes it, read as Go reads it.

Law: `parse_meta` takes what Go's decoder takes (names in any case, unknown fields, anything behind
the value) and refuses what Go refuses, since Raft skips such a snapshot without a word and starts
without its state.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from raft_state.raft.configurations import Configuration, Server
from raft_state.raft.damage import EncodingDamaged
from raft_state.raft.keys import bytes_of

VERSIONS = (0, 1)
"""The versions that Raft knows. Version 0 has peers in place of a configuration."""
CRC_BYTES = 8

_WHITESPACE = " \t\r\n"
_INT64 = (-(2**63), 2**63 - 1)
_UINT64 = (0, 2**64 - 1)

_SURROGATES = re.compile("[\ud800-\udfff]")
_GO_ESCAPES = {
    **{chr(code): f"\\u{code:04x}" for code in (*range(0x20), *b"<>&", 0x2028, 0x2029)},
    "\\": "\\\\",
    '"': '\\"',
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}
_TO_ESCAPE = re.compile("[" + re.escape("".join(_GO_ESCAPES)) + "]")

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class SnapshotMeta:
    """What a snapshot says of itself."""

    version: int
    snapshot_id: str
    """Must be the name of the directory."""
    index: int
    """Of the last entry whose effect is in the state."""
    term: int
    """Of that entry."""
    configuration: Configuration | None
    """None when there is none, as in version 0."""
    configuration_index: int
    peers: bytes
    """A list of addresses (`decode_peers`), for versions of Raft that know no configurations."""
    size: int
    """Of the state, in bytes. Raft does not check it."""
    crc: bytes | None
    """CRC-64 of the state, 8 bytes, big-endian."""


def meta_text(meta: SnapshotMeta) -> str:
    """The text of `meta.json`: one line, as Go writes it. InvalidArgument for impossible text."""
    servers = None
    if meta.configuration is not None and meta.configuration.servers:
        servers = ",".join(map(_server_text, meta.configuration.servers))
    return (
        f'{{"Version":{meta.version},"ID":{_quoted(meta.snapshot_id)}'
        f',"Index":{meta.index},"Term":{meta.term},"Peers":{_base64(meta.peers)}'
        f',"Configuration":{{"Servers":{"null" if servers is None else f"[{servers}]"}}}'
        f',"ConfigurationIndex":{meta.configuration_index}'
        f',"Size":{meta.size},"CRC":{_base64(meta.crc)}}}\n'
    )


def parse_meta(data: bytes) -> SnapshotMeta:
    """Read the text of a `meta.json`. EncodingDamaged when Go's decoder would refuse it."""
    text = data.decode("utf-8", "replace")
    start = len(text) - len(text.lstrip(_WHITESPACE))
    decoder = json.JSONDecoder(object_pairs_hook=_Pairs, parse_constant=_refuse_constant)
    try:
        value, _end = decoder.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise EncodingDamaged(error.pos, f"no JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise EncodingDamaged(0, f"no JSON that could be read: {error}") from error
    fields = _Fields("the snapshot", value)
    return SnapshotMeta(
        version=fields.get("Version", _int64, 0),
        snapshot_id=fields.get("ID", _text, ""),
        index=fields.get("Index", _uint64, 0),
        term=fields.get("Term", _uint64, 0),
        configuration=fields.get("Configuration", _configuration, None),
        configuration_index=fields.get("ConfigurationIndex", _uint64, 0),
        peers=fields.get("Peers", _bytes, b""),
        size=fields.get("Size", _int64, 0),
        crc=fields.get("CRC", _bytes, None),
    )


class _Pairs(list[tuple[str, Any]]):
    """The members of a JSON object, repeated ones included."""


class _Fields:
    """A JSON object as Go reads it into a struct: the case of names does not matter."""

    def __init__(self, what: str, value: object) -> None:
        if value is None:
            value = _Pairs()
        if not isinstance(value, _Pairs):
            raise EncodingDamaged(0, f"{what} is no JSON object")
        # Go's folding differs from lower() in one letter that matters to these names: long s.
        self._values = {
            name.replace("\u017f", "s").lower(): member
            for name, member in value
            if member is not None
        }

    def get(self, name: str, read: Callable[[str, Any], _Value], default: _Value) -> _Value:
        """The field `name`; the default when it is missing or null."""
        value = self._values.get(name.lower())
        return default if value is None else read(name, value)


def _configuration(name: str, value: object) -> Configuration:
    return _Fields(name, value).get("Servers", _servers, Configuration())


def _servers(name: str, value: object) -> Configuration:
    if not isinstance(value, list) or isinstance(value, _Pairs):
        raise EncodingDamaged(0, f"{name} is no list")
    return Configuration(tuple(_server(member) for member in value))


def _server(value: object) -> Server:
    fields = _Fields("a server", value)
    return Server(
        server_id=fields.get("ID", _text, ""),
        address=fields.get("Address", _text, ""),
        suffrage=fields.get("Suffrage", _int64, 0),
    )


def _int64(name: str, value: object) -> int:
    return _integer(name, value, *_INT64)


def _uint64(name: str, value: object) -> int:
    return _integer(name, value, *_UINT64)


def _uint8(name: str, value: object) -> int:
    return _integer(name, value, 0, 255)


def _integer(name: str, value: object, lowest: int, highest: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise EncodingDamaged(0, f"{name} is no whole number")
    if not lowest <= value <= highest:
        raise EncodingDamaged(0, f"{name} is {value}, it must be {lowest} to {highest}")
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise EncodingDamaged(0, f"{name} is no text")
    return _SURROGATES.sub("\ufffd", value)


def _bytes(name: str, value: object) -> bytes:
    if isinstance(value, list) and not isinstance(value, _Pairs):
        return bytes(0 if member is None else _uint8(name, member) for member in value)
    if not isinstance(value, str):
        raise EncodingDamaged(0, f"{name} is no base64 text")
    try:
        return base64.b64decode(value.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise EncodingDamaged(0, f"{name} is no base64: {error}") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def _server_text(server: Server) -> str:
    return (
        f'{{"Suffrage":{int(server.suffrage)},"ID":{_quoted(server.server_id)}'
        f',"Address":{_quoted(server.address)}}}'
    )


def _base64(data: bytes | None) -> str:
    return "null" if data is None else f'"{base64.b64encode(data).decode()}"'


def _quoted(text: str) -> str:
    bytes_of(text)  # refuses what is no text that could ever be in a file
    escaped = _TO_ESCAPE.sub(lambda match: _GO_ESCAPES[match[0]], text)
    return '"' + _SURROGATES.sub(r"\\ufffd", escaped) + '"'
