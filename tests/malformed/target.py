"""What takes malformed inputs: a decoder, how its inputs are made, and what may come of them."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from conductor.errors import ConductorError, ConfigError

TEXT_CHARACTERS_MAX = 4096
"""Of an error that is told to whoever sent the input: it must not send megabytes back."""

TAKEN = "taken"
"""The outcome of an input that was well formed after all."""


@dataclass(frozen=True, slots=True)
class Target:
    """One decoder, or a few that go through the same bytes."""

    name: str
    share: int
    """How many inputs it gets, in proportion to the others."""
    make: Callable[[random.Random], bytes]
    take: Callable[[bytes], str | Awaitable[str]]
    """The class of the outcome. Raises what must not come out, AssertionError for a broken law."""
    heavy: Callable[[], Iterable[bytes]] = tuple
    """Makes large inputs, which would take for ever where time grows faster than size."""


def outcome_of(
    decode: Callable[[bytes], object], data: bytes, *errors: type[ConductorError]
) -> str:
    """`TAKEN`, or the name of the one of `errors` that came out and said what is wrong."""
    try:
        decode(data)
    except errors as error:
        # What operators type themselves may be shown to them as it is.
        check_text(str(error), TEXT_CHARACTERS_MAX + 10 * len(data) * (ConfigError in errors))
        return type(error).__name__
    return TAKEN


def check_text(text: str, characters_max: int = TEXT_CHARACTERS_MAX) -> None:
    """Require that an error says something, and not too much."""
    assert 0 < len(text) <= characters_max, f"an error of {len(text)} characters"
    text.encode()  # A lone surrogate could be neither logged nor sent.
