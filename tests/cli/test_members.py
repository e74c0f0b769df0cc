"""`op-conductor members`: who belongs, and whether the servers agree on it."""

from __future__ import annotations

import json

import pytest

from tests.api.fakes import GENESIS, FakeConductor
from tests.cli.conftest import OpConductor
from tests.cli.servers import FakeCluster, Servers
from tests.cli.statuses import forming
from tests.cli.test_status import Serve, serve

__all__ = ["serve"]


def test_every_member_is_shown_with_its_key(
    op_conductor: OpConductor, cluster: FakeCluster
) -> None:
    addresses = cluster.addresses

    result = op_conductor("members", "--server", addresses["node-1"])

    assert result.exit_code == 0, result.stderr
    assert f"id {GENESIS.cluster_id.hex()}, quorum 2, as node-1 sees it" in result.stdout
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[2] == [
        *("node-1", "leader", "yes", addresses["node-1"], "10.0.0.1:8080"),
        *("01" * 8, "00000000"),
    ]
    assert [line[1] for line in lines[3:5]] == ["follower", "follower"]


def test_json_has_whole_keys(op_conductor: OpConductor, cluster: FakeCluster) -> None:
    result = op_conductor("members", "-o", "json", "--server", cluster.addresses["node-2"])

    shown = json.loads(result.stdout)
    assert (shown["exit_code"], shown["problems"]) == (0, [])
    assert shown["cluster_id"] == GENESIS.cluster_id.hex()
    assert [member["public_key"] for member in shown["members"]] == [
        f"{number:02x}" * 32 for number in (1, 2, 3)
    ]
    assert shown["members"][0]["incarnation"] == f"{1:032x}"


def test_servers_that_disagree_are_named(
    op_conductor: OpConductor, cluster: FakeCluster, servers: Servers
) -> None:
    other = servers.start(FakeConductor())

    result = op_conductor("members", "--server", f"{cluster.addresses['node-2']},{other}")

    assert result.exit_code == 3
    assert "names other members than" in result.stdout


def test_dead_server_is_named_beside_the_members(
    op_conductor: OpConductor, cluster: FakeCluster, closed_port: str
) -> None:
    result = op_conductor("members", "--server", f"{cluster.addresses['node-1']},{closed_port}")

    assert result.exit_code == 3
    assert "node-3" in result.stdout
    assert f"- {closed_port} does not answer" in result.stdout


def test_cluster_that_has_not_formed_has_no_members(
    op_conductor: OpConductor, serve: Serve
) -> None:
    result = op_conductor("members", "--server", serve(forming()))

    assert result.exit_code == 4
    assert result.stdout == "- the cluster has not formed yet: waiting for b:18080\n"


@pytest.mark.parametrize("output", ["table", "json"])
def test_nobody_there_is_unreachable(
    op_conductor: OpConductor, closed_port: str, output: str
) -> None:
    result = op_conductor("members", "-o", output, "--server", closed_port)

    assert result.exit_code == 6
    assert f"{closed_port} does not answer" in result.stdout
