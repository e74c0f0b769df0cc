"""What a JSON-RPC method is, and how its arguments are read.

Invariant: an argument is read once, into a well-formed value or a RequestError that says what is
wrong with it. Reading needs nothing but the bytes, so any thread may do it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from conductor.api.acknowledgements import acknowledgement_from_json
from conductor.api.bounds import Bounds
from conductor.api.calls import LastingCalls
from conductor.api.json_input import U64_MAX, decode
from conductor.core.certificate import Acknowledgement
from conductor.core.values import Height
from conductor.errors import InvalidArgument
from conductor.payload import ssz_from_json
from conductor.service import Conductor

TEXT_BYTES_MAX = 512
"""Of a server id or an address: texts of errors repeat them."""

REQUIRED = object()
"""The default of a parameter that has none."""

_BOOLEAN = msgspec.json.Decoder(bool)
_NUMBER = msgspec.json.Decoder(int)
_TEXT = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True)
class Services:
    """What the methods work with."""

    conductor: Conductor
    calls: LastingCalls
    payload_reads: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(Bounds().payload_reads_max)
    )
    """Bounds how many payloads are turned into JSON at the same time."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One positional parameter."""

    name: str
    summary: str
    kind: Any
    """The type whose JSON schema it has."""
    read: Callable[[msgspec.Raw], object]
    """The argument, or a RequestError. Another thread may call it."""
    default: object = REQUIRED
    """What stands for an argument that is missing or null."""

    @property
    def is_required(self) -> bool:
        """Whether there is no default."""
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True)
class Method:
    """A method: what it does, and what `rpc.discover` says of it."""

    run: Callable[..., Awaitable[object]]
    """Called with the services and the arguments."""
    summary: str
    result: Any
    """The type whose JSON schema its result has; None for a method that returns nothing."""
    parameters: tuple[Parameter, ...] = ()


def read_boolean(raw: msgspec.Raw) -> bool:
    """`true` or `false`. InvalidArgument."""
    return decode(_BOOLEAN, bytes(raw))


def read_text(raw: msgspec.Raw) -> str:
    """A server id or an address. InvalidArgument."""
    text = decode(_TEXT, bytes(raw))
    if len(text.encode()) > TEXT_BYTES_MAX:
        raise InvalidArgument(f"has more than {TEXT_BYTES_MAX} bytes")
    return text


def read_height(raw: msgspec.Raw) -> Height:
    """A block number, as a JSON number. InvalidArgument."""
    number = decode(_NUMBER, bytes(raw))
    if not 0 <= number <= U64_MAX:
        raise InvalidArgument("is not between 0 and 2^64 - 1")
    return Height(number)


def read_payload(raw: msgspec.Raw) -> bytes:
    """The SSZ bytes of a payload. InvalidPayload, TooLarge."""
    return ssz_from_json(bytes(raw))


def read_acknowledgement(raw: msgspec.Raw) -> Acknowledgement:
    """An acknowledgement, as `POST /acknowledge` takes it. InvalidArgument."""
    return acknowledgement_from_json(bytes(raw))
