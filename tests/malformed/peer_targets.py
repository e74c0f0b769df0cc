"""What other members send: every message of `ReplicationService`, requests and answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial

from conductor.errors import InvalidArgument
from conductor.peers import calls, codec
from conductor.peers.calls import CALLS
from tests.malformed.byte_mutation import noise
from tests.malformed.protobuf_mutation import BYTES, Field, spoiled_message
from tests.malformed.target import Target, outcome_of
from tests.peers import samples
from tests.peers.samples import BODIES, SPEAKER

MIB = 2**20

Decode = Callable[[bytes], object]


def requests() -> dict[str, list[bytes]]:
    """Well-formed requests by the name of their RPC; those of Append are a whole stream."""
    named: dict[str, list[bytes]] = {
        "Greet": [codec.encode_greet_request(samples.GREETING)],
        "Append": [
            codec.encode_stream_opening(SPEAKER),
            codec.encode_append(samples.APPEND, BODIES),
            codec.encode_append(samples.HEARTBEAT, {}),
        ],
    }
    for message in samples.REQUESTS:
        data = calls.encode_request(SPEAKER, message, BODIES)
        named.setdefault(CALLS[type(message)].name, []).append(data)
    return named


def _answers() -> dict[str, tuple[Decode, list[bytes]]]:
    """The decoder of each answer, by what it answers, and well-formed ones."""
    appended = [codec.encode_append_answer(answer) for answer in samples.APPEND_ANSWERS]
    named: dict[str, tuple[Decode, list[bytes]]] = {
        "Greet": (codec.decode_greet_answer, [codec.encode_greet_answer(samples.GREETING)]),
        "Append": (codec.decode_append_answer, appended),
        "the opening of Append": (
            codec.decode_stream_welcome,
            [codec.encode_stream_welcome(SPEAKER)],
        ),
    }
    for kind, message in samples.ANSWERS:
        call = CALLS[kind]
        _, found = named.setdefault(call.name, (call.decode_answer, []))
        found.append(calls.encode_answer(SPEAKER, message, BODIES))
    return named


def _request_decoders() -> dict[str, Decode]:
    decoders: dict[str, Decode] = {call.name: call.decode_request for call in CALLS.values()}
    return decoders | {"Greet": codec.decode_greet_request}


def _target(name: str, decode: Decode, valid: list[bytes], *, share: int = 1) -> Target:
    def make(chance: random.Random) -> bytes:
        if chance.random() < 0.03:
            return noise(chance)
        return spoiled_message(chance, chance.choice(valid))

    return Target(
        name,
        share,
        make,
        lambda data: outcome_of(decode, data, InvalidArgument),
        partial(_heavy, valid[-1]),
    )


def _heavy(valid: bytes) -> Iterator[bytes]:
    """Large messages of many parts, of unknown fields and of nested ones."""
    yield b"".join(Field(number, BYTES, b"").encoded() * (MIB // 8) for number in (2, 3, 4, 5))
    yield Field(4, BYTES, bytes(100)).encoded() * 20_000
    yield valid * (4 * MIB // max(1, len(valid)))
    yield b"\x0b" * (4 * MIB)
    yield b"\xff" * (4 * MIB)
    yield b"\xf8\x07\x01" * MIB


def _targets() -> tuple[Target, ...]:
    named = requests()
    appends = named.pop("Append")
    decoders = _request_decoders()
    return (
        _target("Append", codec.decode_append, appends[1:], share=3),
        _target("the opening of Append", codec.decode_stream_opening, appends[:1]),
        *(_target(name, decoders[name], valid) for name, valid in named.items()),
        *(
            _target(f"answer to {name}", decode, valid)
            for name, (decode, valid) in _answers().items()
        ),
    )


TARGETS = _targets()
