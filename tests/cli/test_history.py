"""`op-conductor history`: who led when, and why, as each named server saw it."""

from __future__ import annotations

import json

import pytest

from conductor.cli.history import _duration, _time
from conductor.core.values import Epoch
from conductor.service import LeadershipRecord
from tests.api.fakes import FakeConductor
from tests.cli.conftest import OpConductor
from tests.cli.servers import Servers

BEGAN_MS = 1_800_000_000_000


@pytest.fixture
def server(servers: Servers) -> str:
    conductor = FakeConductor()
    conductor.records = (
        LeadershipRecord("node-2", Epoch(6), "is the first fit voter", BEGAN_MS),
        LeadershipRecord("", Epoch(6), "node-2 is not heard any more", BEGAN_MS + 90_500),
        LeadershipRecord("node-1", Epoch(7), "transfer: an operator asked", BEGAN_MS + 91_000),
    )
    return servers.start(conductor)


def test_reasons_and_times_are_shown_newest_last(op_conductor: OpConductor, server: str) -> None:
    result = op_conductor("history", "--server", server)

    assert result.exit_code == 0, result.stderr
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines == [
        f"{server}: 3 of 3",
        "BEGAN EPOCH LEADER LASTED REASON",
        "2027-01-15T08:00:00.000Z 6 node-2 1 min 30 s is the first fit voter",
        "2027-01-15T08:01:30.500Z 6 nobody 0.5 s node-2 is not heard any more",
        "2027-01-15T08:01:31.000Z 7 node-1 until now transfer: an operator asked",
    ]


def test_last_ones_are_the_newest_and_keep_their_durations(
    op_conductor: OpConductor, server: str
) -> None:
    table = op_conductor("history", "--last", "2", "--server", server).stdout
    shown = json.loads(
        op_conductor("history", "--last", "1", "-o", "json", "--server", server).stdout
    )

    assert "2 of 3" in table
    assert "0.5 s" in table
    assert "first fit voter" not in table
    assert shown["servers"][0]["records"] == [
        {
            "leader_id": "node-1",
            "epoch": 7,
            "reason": "transfer: an operator asked",
            "began_at_ms": BEGAN_MS + 91_000,
            "began_at": "2027-01-15T08:01:31.000Z",
        }
    ]


def test_each_server_answers_for_itself(
    op_conductor: OpConductor, server: str, closed_port: str
) -> None:
    servers = f"{closed_port},{server}"

    table = op_conductor("history", "--server", servers)
    shown = json.loads(op_conductor("history", "-o", "json", "--server", servers).stdout)

    assert table.exit_code == shown["exit_code"] == 3
    assert f"- {closed_port} does not answer" in table.stdout
    assert "transfer: an operator asked" in table.stdout
    assert [answer["server"] for answer in shown["servers"]] == [closed_port, server]
    assert shown["servers"][0]["error"]["code"] == "peer_unreachable"


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        (-1, "unknown"),
        (0, "0.0 s"),
        (59_940, "59.9 s"),
        (60_000, "1 min 0 s"),
        (3_599_999, "59 min 59 s"),
        (3_600_000, "1 h 0 min"),
        (47 * 3_600_000, "47 h 0 min"),
        (49 * 3_600_000, "2 d 1 h"),
    ],
)
def test_durations_are_told_in_two_units(milliseconds: int, expected: str) -> None:
    assert _duration(milliseconds) == expected


def test_time_that_no_calendar_has_is_told_all_the_same() -> None:
    assert _time(2**63) == f"{2**63} ms"
