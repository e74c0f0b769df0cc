"""What can name a server, and what can be its address.

Invariant: an id that passes is one folder, with that very name, on every file system; an address
that passes can be dialled by the other nodes.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass

from conductor.errors import InvalidArgument
from raft_state.node.directories import STATE_NAMES
from raft_state.node.own_folders import is_own_folder

PORT_MAX = 65_535
FOLDER_BYTES_MAX = 255
HOST_CHARACTERS_MAX = 253

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NUMERIC_HOST = re.compile(r"[0-9.]+")
_SEPARATORS = "/\\"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an address leads: two spellings of one place are equal."""

    host: str
    port: int


def check_server_id(server_id: str) -> None:
    """InvalidArgument unless a folder can have this name everywhere."""
    if server_id != server_id.strip():
        raise InvalidArgument("has blanks around it")
    if server_id in (".", ".."):
        raise InvalidArgument("is no folder of its own")
    if any(separator in server_id for separator in _SEPARATORS):
        raise InvalidArgument("has a path separator in it: its state would be elsewhere")
    if not server_id.isprintable():
        raise InvalidArgument("has characters in it that cannot be printed")
    size = len(server_id.encode())
    if size > FOLDER_BYTES_MAX:
        raise InvalidArgument(f"has {size} bytes: a folder's name has {FOLDER_BYTES_MAX} at most")
    if folder_of(server_id) in STATE_NAMES:
        raise InvalidArgument("is the name of one of Raft's own files")
    if is_own_folder(folder_of(server_id)):
        raise InvalidArgument("is like the names of backups, or of what was left of a state")


def folder_of(server_id: str) -> str:
    """Equal for ids that a file system may take for the same folder."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", server_id).casefold())


def parse_address(text: str) -> Place:
    """The place that `host:port` or `[IPv6]:port` names. InvalidArgument says what is wrong."""
    if "://" in text:
        raise InvalidArgument("is a URL: write only host:port")
    host, colon, port = text.rpartition(":")
    if not colon or (host.startswith("[") and not host.endswith("]")):
        raise InvalidArgument("names no port: write host:port, such as sequencer-1:50050")
    return Place(_parse_host(host), _parse_port(port))


def _parse_host(host: str) -> str:
    if not host:
        raise InvalidArgument("names no host: the other nodes could not reach it")
    if host.startswith("[") and host.endswith("]"):
        return _parse_ip(ipaddress.IPv6Address, host[1:-1])
    if ":" in host:
        raise InvalidArgument("is ambiguous: an IPv6 address goes in brackets, such as [::1]:50050")
    if _NUMERIC_HOST.fullmatch(host):
        return _parse_ip(ipaddress.IPv4Address, host)
    # One dot at the end says that the name is complete.
    name = host.removesuffix(".")
    if len(name) > HOST_CHARACTERS_MAX or not all(map(_LABEL.fullmatch, name.split("."))):
        raise InvalidArgument(f"has no host name that DNS can know: {host!r}")
    return name.lower()


def _parse_ip(kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address], host: str) -> str:
    try:
        address = kind(host)
    except ValueError as error:
        raise InvalidArgument(f"has no IP address that exists: {error}") from error
    if address.is_unspecified:
        raise InvalidArgument("can be listened on but not reached: name the host")
    return str(address)


def _parse_port(port: str) -> int:
    if not (port.isascii() and port.isdigit()):
        raise InvalidArgument(f"has {port!r} for a port: a number from 1 to {PORT_MAX}")
    # Compared by length first: a number of a million digits takes minutes to read.
    if len(port) > len(str(PORT_MAX)) or not 1 <= int(port) <= PORT_MAX:
        raise InvalidArgument(f"has port {port[:20]}: a number from 1 to {PORT_MAX}")
    return int(port)
