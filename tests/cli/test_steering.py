"""`pause`, `resume` and `override-leader`: look, do, look again, and say what became of each."""

from __future__ import annotations

import asyncio
import json

import pytest

from conductor.errors import Overloaded, Unavailable
from tests.cli.conftest import OpConductor
from tests.cli.servers import FakeCluster, FakeMember, Servers


def all_of(cluster: FakeCluster) -> str:
    return ",".join(cluster.addresses.values())


def test_paused_leader_is_shown_before_and_after(
    op_conductor: OpConductor, cluster: FakeCluster
) -> None:
    result = op_conductor("pause", "--yes", "--server", cluster.addresses["node-1"])

    assert result.exit_code == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    before, after = lines.index(["before:"]), lines.index(["after:"])
    assert lines[before + 2] == ["node-1", "leader", "yes", "no", "no", "node-1", "7"]
    assert lines[after + 2] == ["node-1", "follower", "no", "yes", "no", "node-2", "8"]
    assert result.stderr == ""


def test_resume_undoes_a_pause(op_conductor: OpConductor, cluster: FakeCluster) -> None:
    cluster.members["node-2"].paused = True

    result = op_conductor("resume", "-y", "-o", "json", "--server", cluster.addresses["node-2"])

    assert result.exit_code == 0
    (shown,) = json.loads(result.stdout)["servers"]
    assert (shown["before"]["paused"], shown["after"]["paused"]) == (True, False)
    assert not cluster.members["node-2"].paused


@pytest.mark.parametrize(("setting", "is_so"), [("on", True), ("off", False)])
def test_leader_is_overridden_until_it_is_not(
    op_conductor: OpConductor, cluster: FakeCluster, setting: str, is_so: bool
) -> None:
    server = cluster.addresses["node-3"]
    if setting == "off":
        op_conductor("override-leader", "on", "--yes", "--server", server)

    result = op_conductor("override-leader", setting, "--yes", "-o", "json", "--server", server)

    assert result.exit_code == 0
    (shown,) = json.loads(result.stdout)["servers"]
    assert shown["changed"] is True
    assert shown["before"]["leader_overridden"] is not is_so
    assert shown["after"]["leader_overridden"] is is_so


def test_override_needs_to_be_told_which_way(op_conductor: OpConductor) -> None:
    result = op_conductor("override-leader --yes")

    assert result.exit_code == 2
    assert "{on|off}" in result.stderr


@pytest.mark.parametrize("command", ["pause", "resume", "override-leader on", "transfer"])
def test_without_a_terminal_nothing_is_done_unless_told_so(
    op_conductor: OpConductor, cluster: FakeCluster, command: str
) -> None:
    server = cluster.addresses["node-1"]

    result = op_conductor(*command.split(), "--server", server)

    assert result.exit_code == 2
    assert "add --yes" in result.stderr
    assert cluster.members["node-1"].pauses == 0
    assert cluster.leader_id == "node-1"


def test_yes_may_come_from_the_environment(op_conductor: OpConductor, cluster: FakeCluster) -> None:
    env = {"OP_CONDUCTOR_YES": "true", "OP_CONDUCTOR_SERVER": cluster.addresses["node-3"]}

    assert op_conductor("pause", env=env).exit_code == 0
    assert cluster.members["node-3"].paused


def test_what_is_so_already_is_left_alone(op_conductor: OpConductor, cluster: FakeCluster) -> None:
    cluster.members["node-3"].paused = True

    result = op_conductor("pause", "--yes", "--server", cluster.addresses["node-3"])

    assert result.exit_code == 0
    assert result.stderr == "node-3 was so already: nothing was changed\n"
    assert "after" not in result.stdout
    assert cluster.members["node-3"].pauses == 0


def test_dead_server_does_not_keep_the_others_from_it(
    op_conductor: OpConductor, cluster: FakeCluster, closed_port: str
) -> None:
    servers = f"{closed_port},{cluster.addresses['node-2']}"

    result = op_conductor("pause", "--yes", "-o", "json", "--server", servers)

    shown = json.loads(result.stdout)
    assert result.exit_code == shown["exit_code"] == 3
    dead, living = shown["servers"]
    assert (dead["changed"], dead["error"]["code"]) == (False, "peer_unreachable")
    assert (living["changed"], living["error"]) == (True, None)
    assert cluster.members["node-2"].paused
    assert f"error: {closed_port} does not answer" in result.stderr


def test_nobody_there_is_unreachable(op_conductor: OpConductor, closed_port: str) -> None:
    result = op_conductor("resume", "--yes", "--server", closed_port)

    assert result.exit_code == 6
    assert result.stdout == ""


def test_refusal_has_its_exit_code_and_is_quoted(
    op_conductor: OpConductor, cluster: FakeCluster
) -> None:
    cluster.members["node-1"].error = Overloaded("not now")
    server = cluster.addresses["node-1"]

    result = op_conductor("pause", "--yes", "--server", server)

    assert result.exit_code == 5
    assert f"error: {server}: not now" in result.stderr
    assert "after" not in result.stdout


def test_some_refused_and_some_done_is_degraded(
    op_conductor: OpConductor, cluster: FakeCluster
) -> None:
    cluster.members["node-3"].error = Unavailable("not now")

    result = op_conductor("pause", "--yes", "--server", all_of(cluster))

    assert result.exit_code == 3
    assert [member.paused for member in cluster.members.values()] == [True, True, False]


def test_leader_that_nobody_relieves_leads_on(
    op_conductor: OpConductor, cluster: FakeCluster
) -> None:
    cluster.members["node-2"].paused = cluster.members["node-3"].paused = True

    result = op_conductor("pause", "--yes", "--server", cluster.addresses["node-1"])

    assert result.exit_code == 0
    assert "node-1 leads on: no other voter can take over" in result.stderr


def test_nobody_waits_for_servers_that_were_paused_together(
    op_conductor: OpConductor, cluster: FakeCluster
) -> None:
    cluster.hands_over = False

    result = op_conductor("pause", "--yes", "--server", all_of(cluster))

    assert result.exit_code == 0
    assert "node-1 leads on" in result.stderr
    assert cluster.members["node-1"].looks == 2, "once before and once after"


def test_paused_server_that_leads_is_not_said_to_be_well(
    op_conductor: OpConductor, cluster: FakeCluster
) -> None:
    cluster.members["node-1"].paused = True
    server = cluster.addresses["node-1"]

    result = op_conductor("pause", "--yes", "--server", server)

    assert result.exit_code == 0
    assert result.stderr == (
        "node-1 was so already, and leads all the same. Pass the leadership on: "
        f"op-conductor transfer --server {server}\n"
    )


def test_overridden_follower_is_paused_like_any_other(
    op_conductor: OpConductor, cluster: FakeCluster
) -> None:
    """It says that it leads, and does not: there is nothing to wait for."""
    server = cluster.addresses["node-3"]
    op_conductor("override-leader", "on", "--yes", "--server", server)
    looks = cluster.members["node-3"].looks

    result = op_conductor("pause", "--yes", "--server", server)

    assert (result.exit_code, result.stderr) == (0, "")
    assert cluster.members["node-3"].looks == looks + 2, "once before and once after"


def test_no_cause_is_claimed_when_a_leader_is_not_relieved_in_time(
    op_conductor: OpConductor, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conductor.cli.steering.SETTLE_MS_MAX", 0)
    cluster.hands_over = False
    server = cluster.addresses["node-1"]

    result = op_conductor("pause", "--yes", "--server", server)

    assert result.exit_code == 0
    assert result.stderr == (
        f"node-1 still leads after 0 s. See op-conductor status --all --server {server}\n"
    )


def test_call_without_an_answer_may_have_been_heard(
    op_conductor: OpConductor, servers: Servers
) -> None:
    cluster = FakeCluster(servers)
    slow = SlowMember(cluster, "node-3")
    cluster.members["node-3"] = slow
    server = servers.start(slow)

    result = op_conductor("pause", "--yes", "--timeout-ms", "300", "--server", server)

    assert result.exit_code == 6
    assert f"{server} has not answered within 300 ms, and may still do it" in result.stderr


class SlowMember(FakeMember):
    """Never gets to pausing."""

    async def pause(self) -> bool:
        await asyncio.Event().wait()
        return False
