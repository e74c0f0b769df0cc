"""JSON-RPC requests as go-ethereum reads them: leniently, each on its own.

Where the JSON-RPC schema would refuse a whole body, go-ethereum looks at each message and answers
as well as it can. Arguments stay raw bytes: a payload of megabytes is decoded once, by the method
that it is for. However long an array is, no more of it is built than an answer needs.

Reference: `rpc/json.go`, `rpc/handler.go` of ethereum/go-ethereum.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from conductor.api.json_input import ABSENT, NOT_JSON

VERSION = "2.0"
BATCH_MAX = 100

Arguments = tuple[msgspec.Raw, ...]

_WHITESPACE = re.compile(rb"[ \t\r\n]*")
_BatchArray = msgspec.defstruct(
    "_BatchArray",
    [(f"message_{place}", msgspec.Raw, ABSENT) for place in range(BATCH_MAX + 1)],
    array_like=True,
)


class _ArgumentsArray(msgspec.Struct, array_like=True):
    """One more than any method takes: what follows is skipped and cannot change the answer."""

    argument_0: msgspec.Raw = ABSENT
    argument_1: msgspec.Raw = ABSENT
    argument_2: msgspec.Raw = ABSENT
    argument_3: msgspec.Raw = ABSENT


class _Head(msgspec.Struct):
    """A message but for its params. Any member may be anything."""

    jsonrpc: msgspec.Raw = ABSENT
    id: msgspec.Raw = ABSENT
    method: msgspec.Raw = ABSENT


class _Message(_Head):
    params: _ArgumentsArray | None = None


_BATCH = msgspec.json.Decoder(_BatchArray)
_HEAD = msgspec.json.Decoder(_Head)
_MESSAGE = msgspec.json.Decoder(_Message)
_TEXT = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a body."""

    id: msgspec.Raw | None
    """As it came, to go back as it came. None: there is none, or none that could be sent back."""
    method: str
    """Empty when the message is no request."""
    arguments: Arguments | None = ()
    """None when `params` is there and no array."""

    @property
    def is_notification(self) -> bool:
        """Whether it is a request that wants no answer."""
        return self.id is None and self.method != ""


def first_character(body: bytes) -> bytes:
    """What tells a batch (`[`) from a single message, and both from nothing at all."""
    blank = _WHITESPACE.match(body)
    start = blank.end() if blank else 0
    return body[start : start + 1]


def read_message(raw: bytes | msgspec.Raw) -> Message | None:
    """The message in these bytes; None when they are no JSON."""
    try:
        return _read(raw)
    except NOT_JSON:
        return None


def read_batch(body: bytes) -> list[Message] | None:
    """The messages of a batch, at most BATCH_MAX + 1 of them; None when it is no JSON."""
    try:
        return [_read(raw) for raw in _present(_BATCH.decode(body))]
    except NOT_JSON:
        return None


def _read(raw: bytes | msgspec.Raw) -> Message:
    try:
        message = _MESSAGE.decode(raw)
        return _judged(message, _present(message.params) if message.params is not None else ())
    except msgspec.ValidationError:
        pass  # `params` is no array, or the message is no object
    try:
        return _judged(_HEAD.decode(raw), None)
    except msgspec.ValidationError:
        return Message(None, "")


def _judged(head: _Head, arguments: Arguments | None) -> Message:
    """go-ethereum takes `null` for an id, but neither an object nor an array."""
    message_id = bytes(head.id).decode()
    if message_id.startswith(("{", "[")):
        return Message(None, "")
    is_request = _text(head.jsonrpc) == VERSION
    method = _text(head.method) if is_request else ""
    return Message(head.id if message_id else None, method, arguments)


def _present(array: msgspec.Struct) -> Arguments:
    return tuple(raw for raw in msgspec.structs.astuple(array) if raw)


def _text(raw: msgspec.Raw) -> str:
    """The string in `raw`; empty when it is none."""
    try:
        return _TEXT.decode(raw) if raw else ""
    except msgspec.ValidationError:
        return ""
