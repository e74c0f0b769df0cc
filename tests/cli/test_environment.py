"""Which environment variables are remarked on."""

from __future__ import annotations

import pytest

from conductor.cli.environment import unknown_variables

KNOWN = frozenset({"OP_CONDUCTOR_PEERS", "OP_CONDUCTOR_SERVER"})


@pytest.mark.parametrize(
    "name",
    [
        "OP_CONDUCTOR_PEERS",
        "OP_CONDUCTOR_SERVER",
        "OP_CONDUCTOR_INIT_NODES",
        "HOME",
        "OP_NODE_PEERS",
        # Services called op-conductor, op-conductor-1 and op-conductor-metrics.
        "OP_CONDUCTOR_SERVICE_HOST",
        "OP_CONDUCTOR_SERVICE_PORT",
        "OP_CONDUCTOR_SERVICE_PORT_GRPC",
        "OP_CONDUCTOR_PORT",
        "OP_CONDUCTOR_PORT_8080_TCP",
        "OP_CONDUCTOR_PORT_8080_TCP_PROTO",
        "OP_CONDUCTOR_PORT_8080_TCP_PORT",
        "OP_CONDUCTOR_PORT_8080_TCP_ADDR",
        "OP_CONDUCTOR_1_SERVICE_HOST",
        "OP_CONDUCTOR_1_PORT_53_UDP_ADDR",
        "OP_CONDUCTOR_METRICS_PORT",
    ],
)
def test_variable_with_a_meaning_passes(name: str) -> None:
    assert unknown_variables([name], KNOWN) == ()


@pytest.mark.parametrize(
    "name",
    [
        "OP_CONDUCTOR_PEER",
        "OP_CONDUCTOR_INITIAL_LEADER",
        "OP_CONDUCTOR_REPORT",
        "OP_CONDUCTOR_PORTS",
        "OP_CONDUCTOR_PORT_X_TCP",
    ],
)
def test_variable_without_a_meaning_is_named(name: str) -> None:
    (sentence,) = unknown_variables([name], KNOWN)

    assert f" {name} " in sentence


def test_nearest_variable_is_suggested() -> None:
    (sentence,) = unknown_variables(["OP_CONDUCTOR_PERS"], KNOWN)

    assert sentence.endswith("did you mean OP_CONDUCTOR_PEERS?")
