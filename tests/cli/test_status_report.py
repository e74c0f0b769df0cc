"""The verdict on a cluster, from the answers of its servers."""

from __future__ import annotations

import json

import pytest

from conductor.cli.status_json import report_as_json
from conductor.cli.status_report import (
    State,
    StatusAnswer,
    make_report,
    missing_entries,
)
from conductor.v1.conductor_pb2 import GetStatusResponse, MemberStatus
from conductor.v1.types_pb2 import Member, Position
from tests.cli.statuses import (
    answer,
    forming,
    healthy_members,
    member,
    position,
    silence,
    status,
)


@pytest.mark.parametrize(
    ("answers", "state", "exit_code"),
    [
        ([answer(status())], State.HEALTHY, 0),
        ([answer(status("b"))], State.HEALTHY, 0),
        ([answer(status("a")), answer(status("b"))], State.HEALTHY, 0),
        ([answer(status(quorum_safe=False))], State.HEALTHY, 0),
        ([answer(status(members=[*healthy_members(), member("d", voter=False, serving=False)]))],
         State.HEALTHY, 0),
        ([answer(status(members=[member("a"), member("b", reachable=False)]))], State.DEGRADED, 3),
        ([answer(status(members=[member("a"), member("b", serving=False)]))], State.DEGRADED, 3),
        ([answer(status()), silence()], State.DEGRADED, 3),
        ([answer(status("a", epoch=3)), answer(status("b", leader_id="b", epoch=4))],
         State.DEGRADED, 3),
        ([answer(status("b", paused=True))], State.DEGRADED, 3),
        ([answer(status("b", overridden=True))], State.DEGRADED, 3),
        ([answer(status("a")), answer(status("b", cluster=9))], State.DEGRADED, 3),
        ([answer(status("a")), answer(status("b", version="0.2.0"))], State.HEALTHY, 0),
        ([answer(status("b", leader_id=""))], State.NO_LEADER, 4),
        ([answer(status("b", leader_id="")), silence()], State.NO_LEADER, 4),
        ([answer(forming())], State.NO_LEADER, 4),
        ([silence()], State.UNREACHABLE, 6),
        ([silence("a"), silence("b")], State.UNREACHABLE, 6),
    ],
)  # fmt: skip
def test_answers_make_a_verdict(answers: list[StatusAnswer], state: State, exit_code: int) -> None:
    report = make_report(answers)

    assert (report.state, report.exit_code) == (state, exit_code)


def test_leader_is_believed_before_a_follower_and_a_later_epoch_before_an_earlier() -> None:
    a, b, c = status("a"), status("b", leader_id="", epoch=5), status("c", leader_id="", epoch=2)

    assert make_report([answer(b), answer(a), answer(c)]).view == a
    assert make_report([answer(c), answer(b)]).view == b


@pytest.mark.parametrize("isolated_first", [True, False])
@pytest.mark.parametrize("overridden", [True, False])
@pytest.mark.parametrize("known_by", ["a", "b"])
def test_leader_that_somebody_knows_is_not_denied_by_one_that_is_cut_off(
    known_by: str, overridden: bool, isolated_first: bool
) -> None:
    """Whatever epoch that one has promised, and whatever an operator makes it say."""
    isolated = status("c", leader_id="", epoch=9, overridden=overridden)
    answers = [answer(isolated), answer(status(known_by))]

    report = make_report(answers if isolated_first else answers[::-1])

    assert report.view == status(known_by)
    assert report.exit_code == (3 if overridden else 0)


def test_server_that_is_made_to_say_that_it_leads_is_no_rival() -> None:
    overridden = [answer(status(name, overridden=True)) for name in ("b", "c")]

    problems = make_report([answer(status()), *overridden]).problems

    assert len(problems) == 2
    assert all("says that it leads whatever the cluster says" in problem for problem in problems)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([answer(status(members=[member("b", reachable=False)]))], "voter b is unreachable from a"),
        ([answer(status(members=[member("b", serving=False)]))], "voter b is not serving"),
        ([answer(status()), silence()], "c:18080 does not answer"),
        ([answer(status("b", leader_id=""))], "no leader: one needs 2 voters"),
        ([answer(status("b", leader_id="", quorum=0))], "no leader: the cluster has not formed"),
        ([answer(forming())], "a says: waiting for b:18080"),
        ([answer(status(quorum_safe=False))], "the quorum of 2 is not split-brain-safe"),
        (
            [answer(status()), answer(status("b", leader_id="b", epoch=4))],
            "a (epoch 3), b (epoch 4)",
        ),
        (
            [answer(status()), answer(status("b", cluster=9))],
            "a (a:18080) and b (b:18080) belong to different clusters",
        ),
        (
            [answer(status()), answer(status("b", version="0.2.0"))],
            "an upgrade is not finished: a 0.1.0, b 0.2.0",
        ),
    ],
)
def test_problem_is_named(answers: list[StatusAnswer], expected: str) -> None:
    assert any(expected in problem for problem in make_report(answers).problems)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (
            [answer(status("b", paused=True))],
            "b is paused: op-conductor resume --server b:18080",
        ),
        (
            [answer(status("b", overridden=True))],
            (
                "b says that it leads whatever the cluster says: "
                "op-conductor override-leader off --server b:18080"
            ),
        ),
        (
            [answer(status(members=[member("a"), member("b", serving=False)]))],
            "voter b is not serving: ask it why: op-conductor status --server b:18080",
        ),
    ],
)
def test_problem_comes_with_the_command_that_mends_it(
    answers: list[StatusAnswer], expected: str
) -> None:
    assert make_report(answers).problems == (expected,)


def test_sick_voter_that_was_asked_is_quoted_once() -> None:
    members = [member("a"), member("b", serving=False)]
    sick = status("b", serving=False, reasons=("the disk is slow", "so is the loop"))

    report = make_report([answer(status(members=members)), answer(sick)])

    assert report.problems == ("voter b is not serving: the disk is slow; so is the loop",)


def test_voter_that_serves_by_its_own_word_is_said_to_be_probed_too_shortly() -> None:
    members = [member("a"), member("b", serving=False)]
    fit = status("b", reasons=("a remark",))

    report = make_report([answer(status(members=members)), answer(fit)])

    assert report.problems == (
        "voter b serves by its own word; a has not probed it long enough yet",
        "b says: a remark",
    )


def test_paused_voter_is_one_problem() -> None:
    members = [member("a"), member("b", serving=False)]
    paused = status("b", serving=False, paused=True, reasons=("an operator has paused this node",))

    report = make_report([answer(status(members=members)), answer(paused)])

    assert report.problems == ("b is paused: op-conductor resume --server b:18080",)


def test_lag_counts_certified_entries_that_a_member_lacks() -> None:
    report = make_report([answer(status())])

    assert [missing_entries(report, one) for one in healthy_members()] == [0, 0, 1]


def test_lag_known_to_nobody_is_unknown() -> None:
    """A follower does not know what the others hold, only what it holds itself."""
    seen_by_b = [member("a", "leader"), member("b"), member("c")]
    report = make_report([answer(status("b", members=seen_by_b))])

    assert [missing_entries(report, one) for one in seen_by_b] == [None, 0, None]


def test_json_holds_everything() -> None:
    """Every field of the protobuf messages is there, and its value survives JSON."""
    shown = json.loads(json.dumps(report_as_json(make_report([answer(status()), silence()]))))

    assert shown["state"] == "degraded"
    assert shown["exit_code"] == 3
    assert shown["problems"] == ["c:18080 does not answer"]
    first, second = shown["servers"]
    assert second == {
        "server": "c:18080",
        "error": {"code": "peer_unreachable", "message": "c:18080 does not answer"},
        "status": None,
    }
    assert first["server"] == "a:18080"
    assert first["error"] is None
    assert set(first["status"]) == set(GetStatusResponse.DESCRIPTOR.fields_by_name)
    member_fields = {*Member.DESCRIPTOR.fields_by_name, *MemberStatus.DESCRIPTOR.fields_by_name}
    assert set(first["status"]["members"][0]) == member_fields - {"member"}
    assert set(first["status"]["last"]) == set(Position.DESCRIPTOR.fields_by_name)
    assert first["status"]["certified"] == {"index": 11, "epoch": 3, "digest": "02" * 32}
    assert first["status"]["members"][0]["public_key"] == "01" * 32
    assert first["status"]["last"]["index"] == position(12).index
