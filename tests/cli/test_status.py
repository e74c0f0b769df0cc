"""`op-conductor status` against real gRPC servers on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from conductor.v1.conductor_pb2 import GetStatusRequest, GetStatusResponse
from tests.cli.conftest import OpConductor
from tests.cli.servers import FakeCluster
from tests.cli.statuses import forming, healthy_members, member, status

Serve = Callable[[GetStatusResponse | grpc.StatusCode], str]
"""Starts a server that gives this answer, or this error; returns its address."""


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[grpc.Server] = []

    def start(outcome: GetStatusResponse | grpc.StatusCode) -> str:
        def get_status(
            request: GetStatusRequest, context: grpc.ServicerContext
        ) -> GetStatusResponse:
            if isinstance(outcome, grpc.StatusCode):
                context.abort(outcome, "as scripted")
            return outcome

        handler = grpc.unary_unary_rpc_method_handler(
            get_status,
            request_deserializer=GetStatusRequest.FromString,
            response_serializer=GetStatusResponse.SerializeToString,
        )
        service = grpc.method_handlers_generic_handler(
            "conductor.v1.ConductorService", {"GetStatus": handler}
        )
        server = grpc.server(ThreadPoolExecutor(1), handlers=[service])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.stop(grace=None).wait()


def test_healthy_cluster_is_shown_in_plain_words(op_conductor: OpConductor, serve: Serve) -> None:
    result = op_conductor("status", "--server", serve(status()))

    assert result.exit_code == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert "cluster chain-7: leader a, epoch 3, quorum 2 of 3 voters" in result.stdout
    assert "certified height 110 (index 11)" in result.stdout
    assert ["a", "leader", "yes", "yes", "0", "a:18080", "a:8080"] in lines
    assert ["c", "follower", "yes", "yes", "1", "c:18080", "c:8080"] in lines
    assert lines[-1] == ["healthy"]
    assert result.stdout.isascii()
    assert "\x1b" not in result.stdout


def test_sick_voter_makes_the_cluster_degraded(op_conductor: OpConductor, serve: Serve) -> None:
    members = [
        *healthy_members()[:2],
        member("c", "unknown", reachable=False, serving=False),
        member("d", voter=False),
    ]

    result = op_conductor("status", "--server", serve(status(members=members)))

    assert result.exit_code == 3
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["c", "unknown", "no", "no", "unknown", "c:18080", "c:8080"] in lines
    assert ["d", "follower", "yes", "yes", "unknown", "d:18080", "d:8080", "nonvoter"] in lines
    assert "degraded" in result.stdout
    assert "- voter c is unreachable from a" in result.stdout


def test_cluster_that_has_not_formed_has_no_leader(op_conductor: OpConductor, serve: Serve) -> None:
    result = op_conductor("status", "--server", serve(forming()))

    assert result.exit_code == 4
    assert "leader none" in result.stdout
    assert "no payload certified" in result.stdout
    assert "- a says: waiting for b:18080" in result.stdout


def test_server_that_does_not_answer_is_named(op_conductor: OpConductor, closed_port: str) -> None:
    result = op_conductor("status", "--server", closed_port)

    assert result.exit_code == 6
    assert f"{closed_port} does not answer" in result.stdout
    assert "is this its gRPC port" in result.stdout


def test_server_that_never_answers_is_given_up(op_conductor: OpConductor, silent_port: str) -> None:
    result = op_conductor("status", "--server", silent_port, "--timeout-ms", "50")

    assert result.exit_code == 6
    assert f"{silent_port} does not answer" in result.stdout


def test_server_of_another_kind_is_named(op_conductor: OpConductor, serve: Serve) -> None:
    result = op_conductor("status", "--server", serve(grpc.StatusCode.UNIMPLEMENTED))

    assert result.exit_code == 6
    assert "answers UNIMPLEMENTED: as scripted" in result.stdout


@pytest.mark.parametrize("separator", [",", " ", ", "])
def test_servers_of_the_environment_are_all_asked(
    op_conductor: OpConductor, serve: Serve, separator: str
) -> None:
    servers = [serve(status("a")), serve(status("b"))]

    result = op_conductor(
        "status",
        env={"OP_CONDUCTOR_SERVER": separator.join(servers), "OP_CONDUCTOR_OUTPUT": "json"},
    )

    shown = json.loads(result.stdout)
    assert [answer["server"] for answer in shown["servers"]] == servers
    assert [answer["status"]["server_id"] for answer in shown["servers"]] == ["a", "b"]


def test_json_is_printed_even_when_nobody_answers(
    op_conductor: OpConductor, closed_port: str
) -> None:
    result = op_conductor(f"status -o json --server {closed_port} --server {closed_port}")

    shown = json.loads(result.stdout)
    assert result.exit_code == shown["exit_code"] == 6
    assert shown["state"] == "unreachable"
    (answer,) = shown["servers"]
    assert answer["error"]["code"] == "peer_unreachable"


def test_all_members_are_asked_on_demand(op_conductor: OpConductor, cluster: FakeCluster) -> None:
    cluster.members["node-3"].paused = True
    server = cluster.addresses["node-2"]

    one = op_conductor("status", "--server", server)
    everybody = op_conductor("status", "--all", "--server", server)

    assert one.exit_code == everybody.exit_code == 3
    assert "node-3 is not serving: ask it why" in one.stdout
    assert (
        f"node-3 is paused: op-conductor resume --server {cluster.addresses['node-3']}"
        in everybody.stdout
    )
    (row,) = (line.split() for line in everybody.stdout.splitlines() if "node-3  " in line)
    assert row[-1] == "paused"


def test_member_with_a_nonsensical_address_is_passed_over(
    op_conductor: OpConductor, cluster: FakeCluster
) -> None:
    server = cluster.addresses["node-1"]
    cluster.addresses["node-2"] = "\x1b[2J"

    result = op_conductor("status", "--all", "-o", "json", "--server", server)

    assert len(json.loads(result.stdout)["servers"]) == 2


def test_terminal_is_not_steered_by_servers(
    op_conductor: OpConductor, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Colour on a terminal, but no escape sequence, and no markup, that a server sent."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    evil = status(reasons=("\x1b]0;owned\x07 [bold]x[/bold]",))

    stdout = op_conductor("status", "--server", serve(evil), env={"TERM": "xterm"}).stdout

    assert "\x1b[32m" in stdout
    assert "\x1b]0" not in stdout
    assert "\\x1b]0;owned\\x07 [bold]x[/bold]" in stdout


def test_no_color_is_heeded(op_conductor: OpConductor, serve: Serve) -> None:
    env = {"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm"}

    stdout = op_conductor("status", "--server", serve(status()), env=env).stdout

    assert "\x1b[3" not in stdout
    assert "healthy" in stdout


def test_bad_server_is_refused(op_conductor: OpConductor) -> None:
    result = op_conductor("status --server http://localhost:18080")

    assert result.exit_code == 2
    assert result.stderr == (
        "error: --server: 'http://localhost:18080' is a URL: write only host:port\n"
    )
