"""The command line gets back the very errors that the service raised, by way of gRPC."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conductor import errors
from conductor.cli.client import Conductors, get_payload
from conductor.config import parse_address
from conductor.exit_codes import exit_code_of
from tests.api.fakes import FakeConductor
from tests.cli.servers import Servers


def kinds() -> Iterator[type[errors.ConductorError]]:
    found: list[type[errors.ConductorError]] = [errors.ConductorError]
    for kind in found:
        found.extend(
            child for child in kind.__subclasses__() if child.__module__ == errors.__name__
        )
    # It takes two texts, and what it tells apart is lost on the way.
    return (kind for kind in found if kind is not errors.InvalidPayload)


@pytest.fixture(scope="module")
def asked() -> Iterator[tuple[FakeConductor, str]]:
    servers = Servers()
    conductor = FakeConductor()
    yield conductor, servers.start(conductor)
    servers.stop()


@pytest.mark.parametrize("kind", list(kinds()))
def test_error_comes_back_as_it_was(
    asked: tuple[FakeConductor, str], kind: type[errors.ConductorError]
) -> None:
    conductor, server = asked
    conductor.error = kind("as scripted")

    with Conductors(5000) as conductors, pytest.raises(errors.ConductorError) as caught:
        conductors.ask(get_payload(1), parse_address(server))

    assert type(caught.value) is kind
    assert exit_code_of(caught.value) == exit_code_of(kind("as scripted"))
    assert str(caught.value).startswith(f"{server}: ")


def test_leader_that_an_error_names_comes_along(asked: tuple[FakeConductor, str]) -> None:
    conductor, server = asked
    conductor.error = errors.NotLeader(leader_id="node-3")

    with Conductors(5000) as conductors, pytest.raises(errors.NotLeader) as caught:
        conductors.ask(get_payload(1), parse_address(server))

    assert caught.value.leader_id == "node-3"
    assert str(caught.value) == f"{server}: node is not the leader: node-3 leads"


def test_bug_of_the_server_is_no_secret_of_ours(asked: tuple[FakeConductor, str]) -> None:
    conductor, server = asked
    conductor.error = RuntimeError("a secret")

    with Conductors(5000) as conductors, pytest.raises(errors.ConductorError) as caught:
        conductors.ask(get_payload(1), parse_address(server))

    assert str(caught.value) == f"{server}: internal error"


def test_large_payload_fits(asked: tuple[FakeConductor, str]) -> None:
    """gRPC itself stops at 4 MiB."""
    conductor, server = asked
    conductor.error = None
    conductor.payloads[1] = bytes(5 * 2**20)

    with Conductors(30_000) as conductors:
        assert len(conductors.ask(get_payload(1), parse_address(server)).payload) == 5 * 2**20
