"""`op-conductor transfer`: the leader is found, asked, and what came of it is told."""

from __future__ import annotations

import json

import pytest

from conductor.core.values import ServerId
from tests.cli.conftest import OpConductor
from tests.cli.servers import FakeCluster


def test_leader_is_found_through_a_follower(
    op_conductor: OpConductor, cluster: FakeCluster
) -> None:
    addresses = cluster.addresses

    result = op_conductor("transfer", "node-3", "--yes", "--server", addresses["node-2"])

    assert result.exit_code == 0, result.stderr
    assert result.stdout == (
        "before: leader node-1, epoch 7, as node-2 sees it\nafter:  leader node-3, epoch 8\n"
    )
    assert result.stderr == (
        f"node-2 does not lead: asking the leader, node-1 at {addresses['node-1']}\n"
    )
    assert cluster.members["node-1"].transfers == [(ServerId("node-3"), False)]


def test_without_a_target_the_leader_chooses(
    op_conductor: OpConductor, cluster: FakeCluster
) -> None:
    server = cluster.addresses["node-1"]

    result = op_conductor("transfer", "--yes", "-o", "json", "--server", server)

    assert result.exit_code == 0
    assert result.stderr == ""
    shown = json.loads(result.stdout)
    assert shown["changed"] is True
    assert (shown["previous_leader_id"], shown["leader_id"]) == ("node-1", "node-2")
    assert shown["epoch"] == 8
    assert (shown["before"]["leader_id"], shown["after"]["leader_id"]) == ("node-1", "node-2")


def test_leader_keeps_what_it_has(op_conductor: OpConductor, cluster: FakeCluster) -> None:
    server = cluster.addresses["node-2"]

    result = op_conductor("transfer", "node-1", "--yes", "--server", server)

    assert result.exit_code == 0
    assert "node-1 leads already: nothing was changed" in result.stderr
    assert cluster.members["node-1"].transfers == []


def test_stranger_is_no_target(op_conductor: OpConductor, cluster: FakeCluster) -> None:
    server = cluster.addresses["node-1"]

    result = op_conductor("transfer", "node-9", "--yes", "-o", "json", "--server", server)

    assert result.exit_code == 5
    assert "'node-9' is no voter: the voters are node-1, node-2, node-3" in result.stderr
    assert json.loads(result.stdout)["error"]["code"] == "transfer_refused"
    assert cluster.members["node-1"].transfers == []


def test_refusal_of_the_leader_is_quoted(op_conductor: OpConductor, cluster: FakeCluster) -> None:
    cluster.members["node-2"].paused = True
    server = cluster.addresses["node-1"]

    result = op_conductor("transfer", "node-2", "--yes", "--server", server)

    assert result.exit_code == 5
    assert f"error: {server}: node-2 is paused: resume it first\n" in result.stderr
    assert "after" not in result.stdout


def test_force_is_passed_on(op_conductor: OpConductor, cluster: FakeCluster) -> None:
    cluster.members["node-2"].paused = True
    server = cluster.addresses["node-1"]

    result = op_conductor("transfer", "node-2", "--force", "--yes", "--server", server)

    assert result.exit_code == 0
    assert cluster.leader_id == "node-2"


def test_without_a_leader_there_is_nothing_to_pass_on(
    op_conductor: OpConductor, cluster: FakeCluster
) -> None:
    cluster.leader_id = ""

    result = op_conductor("transfer", "--yes", "--server", cluster.addresses["node-1"])

    assert result.exit_code == 4
    assert "no leader is known to node-1" in result.stderr


def test_leader_out_of_reach_is_named(
    op_conductor: OpConductor, cluster: FakeCluster, closed_port: str
) -> None:
    follower = cluster.addresses["node-2"]
    cluster.addresses["node-1"] = closed_port

    result = op_conductor("transfer", "--yes", "--server", follower)

    assert result.exit_code == 6
    assert f"node-1 at {closed_port}" in result.stderr
    assert f"error: {closed_port} does not answer" in result.stderr


@pytest.mark.parametrize("address", ["", "nonsense", "http://node-1"])
def test_leader_without_an_address_must_be_named(
    op_conductor: OpConductor, cluster: FakeCluster, address: str
) -> None:
    follower = cluster.addresses["node-2"]
    cluster.addresses["node-1"] = address

    result = op_conductor("transfer", "--yes", "--server", follower)

    assert result.exit_code == 6
    assert "name it with --server" in result.stderr


def test_one_silent_server_beside_a_living_one_is_a_warning(
    op_conductor: OpConductor, cluster: FakeCluster, closed_port: str
) -> None:
    servers = f"{closed_port},{cluster.addresses['node-3']}"

    result = op_conductor("transfer", "--yes", "--server", servers)

    assert result.exit_code == 0
    assert f"warning: {closed_port} does not answer" in result.stderr
    assert cluster.leader_id == "node-2"


def test_nobody_there_is_unreachable(op_conductor: OpConductor, closed_port: str) -> None:
    result = op_conductor("transfer", "--yes", "-o", "json", "--server", closed_port)

    assert result.exit_code == 6
    assert json.loads(result.stdout)["exit_code"] == 6


def completions(op_conductor: OpConductor, words: str, env: dict[str, str] | None = None) -> str:
    completing = {
        "_OP_CONDUCTOR_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    return op_conductor("", env={**completing, **(env or {})}).output


def test_targets_are_completed(op_conductor: OpConductor, cluster: FakeCluster) -> None:
    server = cluster.addresses["node-3"]

    by_option = completions(op_conductor, f"op-conductor transfer --server {server} node")
    by_variable = completions(
        op_conductor, "op-conductor transfer ", {"OP_CONDUCTOR_SERVER": server}
    )

    assert by_option == by_variable == "plain,node-2\nplain,node-3\n"


@pytest.mark.parametrize("how", ["option", "variable"])
@pytest.mark.parametrize("server", ["", "nonsense:x", "silent"])
def test_completion_is_never_an_error(
    op_conductor: OpConductor, silent_port: str, server: str, how: str
) -> None:
    address = silent_port if server == "silent" else server
    words, env = "op-conductor transfer n", {"OP_CONDUCTOR_SERVER": address}
    if how == "option":
        words, env = f"op-conductor transfer --server {address} n", {}

    assert completions(op_conductor, words, env) == "\n"
