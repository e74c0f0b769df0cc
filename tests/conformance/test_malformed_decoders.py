"""Every decoder stands malformed bytes: a clear error of ours, or a value; never anything else.

`scripts/malformed_inputs` does the same with ten times as many inputs.
"""

from __future__ import annotations

import asyncio

import grpc
import pytest

from conductor.errors import InvalidArgument, InvalidPayload, NotFound
from conductor.v1 import admin_pb2, conductor_pb2, replication_pb2
from tests.malformed import peer_targets
from tests.malformed.api_targets import REQUESTS
from tests.malformed.byte_mutation import chance_of
from tests.malformed.decoders import TARGETS, feed, feed_heavy, shares
from tests.malformed.target import TAKEN, Target, outcome_of

SEED = 1
INPUTS = 6000

targets = pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])


@targets
def test_malformed_input_ends_in_a_clear_error_or_is_taken(target: Target) -> None:
    (count,) = (count for one, count in shares(INPUTS) if one is target)

    tally = asyncio.run(feed(target, count, seed=SEED))

    assert not tally.findings, "\n".join(tally.lines())
    assert tally.count == count
    assert len(tally.outcomes) > 1 or target.name == "Raft command", tally.outcomes


@pytest.mark.parametrize(
    "target",
    [target for target in TARGETS if target.heavy is not tuple],
    ids=[target.name for target in TARGETS if target.heavy is not tuple],
)
def test_large_malformed_input_takes_no_longer_than_its_size_asks_for(target: Target) -> None:
    tally = asyncio.run(feed_heavy(target))

    assert not tally.findings, "\n".join(tally.lines())


@targets
def test_the_same_seed_makes_the_same_inputs(target: Target) -> None:
    first, again = ([target.make(chance_of(SEED, number)) for number in range(5)] for _ in range(2))
    other = [target.make(chance_of(SEED + 1, number)) for number in range(5)]

    assert first == again != other


def test_every_rpc_is_fed() -> None:
    services = (
        conductor_pb2.DESCRIPTOR.services_by_name["ConductorService"],
        admin_pb2.DESCRIPTOR.services_by_name["AdminService"],
    )
    paths = {f"/{one.full_name}/{method.name}" for one in services for method in one.methods}
    replication = replication_pb2.DESCRIPTOR.services_by_name["ReplicationService"]

    assert set(REQUESTS) == paths
    assert set(peer_targets.requests()) == {method.name for method in replication.methods}


@pytest.mark.parametrize(
    ("error", "is_found"),
    [
        (None, False),
        (InvalidPayload("x", "is missing"), False),
        (InvalidArgument("x" * 10_000), True),
        (NotFound("nothing"), True),
        (ValueError("Exceeds the limit (4300 digits)"), True),
        (RecursionError(), True),
        (AssertionError(grpc.StatusCode.UNKNOWN), True),
    ],
    ids=str,
)
def test_what_must_not_come_out_is_found(error: Exception | None, is_found: bool) -> None:
    def decode(_: bytes) -> None:
        if error is not None:
            raise error

    def take(data: bytes) -> str:
        return outcome_of(decode, data, InvalidPayload, InvalidArgument)

    tally = asyncio.run(feed(Target("faulty", 1, lambda _: b"x", take), 3, seed=SEED))

    assert bool(tally.findings) == is_found
    assert tally.count == 3
    assert is_found or set(tally.outcomes) <= {TAKEN, "InvalidPayload"}


def test_an_input_that_takes_too_long_is_found() -> None:
    target = Target("slow", 1, lambda _: b"x", lambda _: str(sum(range(10_000))))

    tally = asyncio.run(feed(target, 1, seed=SEED, limit_s=0.0))

    assert "of CPU time" in tally.findings[0].problem
