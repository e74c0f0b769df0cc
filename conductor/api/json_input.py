"""Reads untrusted JSON. msgspec's errors are known here and in `jsonrpc_messages` alone.

Invariant: whatever the bytes are, the result is a well-formed value or one clear error. Parts that
the caller passes on unread (`msgspec.Raw`) are skipped over, not built.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from conductor.errors import InvalidArgument

Value = TypeVar("Value")

ABSENT = msgspec.Raw(b"")
"""The default of a raw member: no JSON value is empty."""

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no JSON, or too deep. The first includes wrong shapes."""

U64_MAX = 2**64 - 1


def decode(decoder: msgspec.json.Decoder[Value], raw: bytes) -> Value:
    """The value in `raw`. InvalidArgument says what is wrong, and at which place."""
    if not raw:
        raise InvalidArgument("the body is empty")
    try:
        return decoder.decode(raw)
    except RecursionError:
        raise InvalidArgument("the JSON is nested too deeply") from None
    except NOT_JSON as error:
        raise InvalidArgument(str(error)) from None
