"""What a node says at start about a configuration that works and is unwise."""

from __future__ import annotations

import dataclasses

import pytest

from conductor.config import Address, Config, PeerAddress, config_warnings

SAFE = Config()


def test_default_configuration_is_not_remarked_on() -> None:
    assert config_warnings(SAFE, 1) == ()


@pytest.mark.parametrize(
    ("config", "voters_count", "expected"),
    [
        (Config(identity_seed=1), 1, "--identity 1 makes a key that anyone can make"),
        (Config(bind=Address("0.0.0.0", 8080)), 1, "--bind-addr 0.0.0.0:8080 can be reached"),
        (Config(grpc_bind=Address("::", 18080)), 1, "--grpc-addr [::]:18080 can be reached"),
        (Config(bind=Address("seq-1", 8080)), 1, "--bind-addr seq-1:8080 can be reached"),
        (Config(quorum_rule=1), 3, "a quorum of 1 of 3 voters is not split-brain-safe"),
        (Config(quorum_rule=2), 4, "without --quorum-threshold it is 3"),
        (Config(leader="a"), 1, "--leader a is for --epoch-manager static and is ignored"),
        (
            Config(peers=(PeerAddress(Address("localhost", 18080)),)),
            2,
            "--peers names localhost:18080, which looks like this server itself",
        ),
        (Config(notes=("something else",)), 1, "something else"),
    ],
)
def test_unwise_configuration_is_remarked_on(
    config: Config, voters_count: int, expected: str
) -> None:
    (warning,) = config_warnings(config, voters_count)

    assert expected in warning


@pytest.mark.parametrize(
    ("config", "voters_count"),
    [
        (Config(bind=Address("localhost", 8080), grpc_bind=Address("::1", 18080)), 1),
        (Config(bind=Address("127.8.8.8", 8080)), 1),
        (Config(quorum_rule=2), 3),
        (Config(quorum_rule=1), 1),
        (Config(leader="a", epoch_manager="static"), 1),
        (Config(peers=(PeerAddress(Address("127.0.0.1", 18081)),)), 2),
        (Config(peers=(PeerAddress(Address("seq-2", 18080)),)), 2),
    ],
)
def test_sound_configuration_passes(config: Config, voters_count: int) -> None:
    assert config_warnings(config, voters_count) == ()


def test_every_remark_is_made() -> None:
    config = dataclasses.replace(SAFE, identity_seed=1, quorum_rule=1, notes=("note",))

    assert len(config_warnings(config, 3)) == 3
