"""The known traps of replicated logs, told of a whole cluster. T1 and T18 have own modules."""

from __future__ import annotations

from functools import partial

import pytest

from conductor.core.effects import CommitCertified, RequestFailed
from conductor.core.events import RequestAbandoned
from conductor.core.messages import Acknowledged, Append
from conductor.core.node import Settings
from conductor.core.values import EntryKind
from conductor.errors import OutcomeUnknown
from conductor.simulation.disk import DiskRates
from conductor.simulation.network import Envelope, NetworkRates
from tests.simulation.scenario import Scenario

SETTINGS = Settings()
FAILOVER_MS = SETTINGS.leader_timeout_ms + SETTINGS.campaign_timeout_ms


def hold_back(scenario: Scenario, *names: str) -> list[Envelope]:
    """Keep every acknowledgement of these nodes on its way; what has been kept."""
    held: list[Envelope] = []

    def lets_pass(envelope: Envelope) -> bool:
        is_held = envelope.sender in names and isinstance(envelope.message, Acknowledged)
        if is_held:
            held.append(envelope)
        return not is_held

    scenario.cluster.network.lets_pass = lets_pass
    return held


def release(scenario: Scenario, held: list[Envelope]) -> None:
    """Let what was held back arrive now."""
    scenario.cluster.network.lets_pass = lambda envelope: True
    for envelope in held:
        scenario.cluster.arrive(envelope)


def test_t2_all_nodes_restart_at_once_and_no_epoch_is_promised_twice() -> None:
    scenario = Scenario()
    for _ in range(5):
        scenario.lead("a")
        scenario.commit("a")
        before = max(scenario.epoch(name) for name in "abc")
        scenario.crash("a", "b", "c")
        scenario.start("a", "b", "c")
        assert max(scenario.epoch(name) for name in "abc") >= before
    epochs = [epoch for _, _, epoch in scenario.leaders]
    assert epochs == sorted(set(epochs))
    scenario.finish()


@pytest.mark.parametrize("seed", range(20))
def test_t3_two_candidates_of_one_epoch_get_one_leader_at_most(seed: int) -> None:
    scenario = Scenario(5, seed=seed)
    scenario.designate("a")
    scenario.designate("b")
    scenario.run(FAILOVER_MS)
    assert len({epoch for _, _, epoch in scenario.leaders}) == len(scenario.leaders)
    scenario.lead("c" if scenario.leader() is None else scenario.leader() or "")
    scenario.finish()


def test_t4_nothing_is_acknowledged_below_a_newer_promise() -> None:
    """An Append that was sent before the promise arrives after it, and is refused."""
    scenario = Scenario()
    scenario.lead("a")
    scenario.commit("a")
    scenario.run(300)
    late: list[Envelope] = []

    def lets_pass(envelope: Envelope) -> bool:
        message = envelope.message
        is_late = isinstance(message, Append) and bool(message.entries) and envelope.sender == "a"
        if is_late:
            late.append(envelope)
        return not is_late

    scenario.cluster.network.lets_pass = lets_pass
    block = scenario.build_on_last("a")
    request = scenario.submit("a", block)
    scenario.run(10)
    scenario.isolate("a")
    scenario.run(FAILOVER_MS)
    scenario.lead("b")
    release(scenario, late)
    scenario.run(50)
    assert not scenario.holds("b", block)
    assert not scenario.holds("c", block)
    answer = scenario.answer(request)
    assert isinstance(answer, RequestFailed)
    assert isinstance(answer.error, OutcomeUnknown)
    scenario.finish()


def test_t5_late_certificate_of_an_old_leader_is_in_the_new_leaders_log() -> None:
    """Acknowledgements are on their way while the leadership changes; then they arrive."""
    settings = Settings(lease_ms=60_000, leader_timeout_ms=1500)
    scenario = Scenario(settings=settings)
    scenario.lead("a")
    scenario.run(300)
    held = hold_back(scenario, "b", "c")
    block = scenario.build_on_last("a")
    request = scenario.submit("a", block)
    scenario.run(50)
    scenario.isolate("a")
    scenario.run(FAILOVER_MS)
    scenario.cluster.network.lets_pass = lambda envelope: True
    scenario.lead("b")
    assert scenario.holds("b", block)
    assert scenario.node("a").leads
    release(scenario, held)
    assert isinstance(scenario.answer(request, 100), CommitCertified)
    assert scenario.judges.counts()["late_certificate"] == 1
    assert scenario.certified("b") >= scenario.certified("a")
    scenario.heal()
    scenario.until(lambda: not scenario.node("a").leads, 1000)
    scenario.finish()


def test_t6_short_newer_log_wins_over_a_long_stale_one() -> None:
    scenario = Scenario()
    scenario.lead("a")
    scenario.commit("a")
    scenario.run(300)
    scenario.isolate("a")
    block = scenario.build_on_last("a")
    for _ in range(10):
        scenario.submit("a", block)
        block = scenario.build(block)
    scenario.run(FAILOVER_MS)
    scenario.lead("b")
    newer = scenario.commit("b")
    assert scenario.log("a").last.index > scenario.log("b").last.index
    scenario.crash("b")
    scenario.heal()
    scenario.run(FAILOVER_MS)
    scenario.lead("a")
    assert scenario.holds("a", newer)
    assert len({entry.epoch for entry in scenario.entries("a")}) == 3
    scenario.commit("a")
    scenario.finish()


def test_t7_leader_that_dies_before_its_epoch_start_is_certified_loses_nothing() -> None:
    scenario = Scenario()
    scenario.lead("a")
    scenario.isolate("c")
    blocks = [scenario.commit("a") for _ in range(3)]
    scenario.crash("a")
    scenario.heal()
    scenario.run(FAILOVER_MS)

    def keeps_epoch_starts(envelope: Envelope) -> bool:
        message = envelope.message
        return not isinstance(message, Append) or all(
            entry.kind is not EntryKind.EPOCH_START for entry in message.entries
        )

    scenario.cluster.network.lets_pass = keeps_epoch_starts
    scenario.designate("c")
    scenario.until(lambda: scenario.node("c").machine.leadership is not None, 3000)
    assert not scenario.node("c").leads
    scenario.run(50)
    scenario.crash("c")
    scenario.cluster.network.lets_pass = lambda envelope: True
    scenario.start("a", "c")
    scenario.run(FAILOVER_MS)
    scenario.lead("c")
    assert all(scenario.holds("c", block) for block in blocks)
    scenario.commit("c")
    scenario.finish()


@pytest.mark.parametrize("retries_same", [True, False])
def test_t8_unknown_outcome_is_no_failure(retries_same: bool) -> None:
    """The quorum has the payload, but the caller never heard; now it asks the next leader."""
    scenario = Scenario()
    scenario.lead("a")
    scenario.commit("a")
    hold_back(scenario, "b", "c")
    block = scenario.build_on_last("a")
    request = scenario.submit("a", block)
    scenario.run(50)
    scenario.crash("a")
    assert request not in scenario.answers
    scenario.cluster.network.lets_pass = lambda envelope: True
    scenario.run(FAILOVER_MS)
    scenario.lead("b")
    retried = block if retries_same else scenario.build_beside(block)
    answer = scenario.answer(scenario.submit("b", retried))
    assert isinstance(answer, CommitCertified) is retries_same
    assert len(scenario.log("b").payloads_of_block(block.reference.block_hash)) == 1
    scenario.finish()


def test_t10_repeated_and_reordered_messages_cut_nothing() -> None:
    network = NetworkRates(delay_ms_max=5, duplicate=0.5, straggle=0.3, straggle_ms_max=500)
    scenario = Scenario(network=network)
    scenario.lead("a")
    for _ in range(30):
        scenario.commit("a")
    scenario.run(2000)
    assert scenario.judges.counts()["truncation"] == 0
    assert len(scenario.leaders) == 1
    assert {scenario.certified(name) for name in "abc"} == {scenario.log("a").last.index}
    scenario.finish()


def test_t11_finished_write_of_a_replaced_entry_acknowledges_nothing() -> None:
    """c's disk owes an entry of epoch 1 when epoch 2 replaces it; then the first write is done."""
    scenario = Scenario()
    scenario.lead("a")
    scenario.commit("a")
    scenario.run(300)
    scenario.cut("ab")
    scenario.node("c").disk.rates = DiskRates(stall=1.0, stall_ms_max=20_000)
    block = scenario.build_on_last("a")
    request = scenario.submit("a", block)
    scenario.run(50)
    assert scenario.holds("c", block)
    assert not scenario.node("c").disk.is_idle
    scenario.crash("a")
    scenario.heal()
    scenario.run(FAILOVER_MS)
    scenario.designate("b")
    scenario.run(40_000)
    scenario.node("c").disk.rates = DiskRates()
    scenario.start("a")
    scenario.run(FAILOVER_MS)
    scenario.lead("b", within_ms=30_000)
    scenario.commit("b")
    assert request not in scenario.answers
    scenario.finish()


@pytest.mark.parametrize("crash_after_ms", range(12))
def test_t15_crash_while_a_base_is_installed(crash_after_ms: int) -> None:
    settings = Settings(retain_payloads=2, touch_interval_ms=200)
    scenario = Scenario(settings=settings, disk=DiskRates(latency_ms_max=6))
    scenario.lead("a")
    scenario.isolate("c")
    for _ in range(12):
        scenario.commit("a")
    scenario.run(500)
    assert scenario.log("a").base.position.index > scenario.log("c").last.index
    scenario.heal()
    scenario.until(lambda: not scenario.node("c").disk.is_idle, 1000)
    scenario.run(crash_after_ms)
    scenario.crash("c")
    for _ in range(3):
        scenario.commit("a")
    scenario.start("c")
    scenario.until(lambda: scenario.certified("c") == scenario.certified("a"), 3000)
    assert scenario.judges.counts()["base_install"] >= 1
    scenario.finish()


def test_t15_nothing_is_pruned_above_the_certified_index() -> None:
    scenario = Scenario(settings=Settings(retain_payloads=1, touch_interval_ms=50))
    scenario.lead("a")
    newest = [scenario.commit("a") for _ in range(10)][-1]
    scenario.isolate("a")
    scenario.submit("a", scenario.build(newest))
    scenario.run(900)
    for name in "abc":
        assert scenario.log(name).base.position.index <= scenario.node(name).disk.certified.index
        assert scenario.holds(name, newest)
    scenario.finish()


def test_t16_peer_with_a_stalled_disk_catches_up_at_once() -> None:
    scenario = Scenario()
    scenario.lead("a")
    scenario.commit("a")
    scenario.run(300)
    scenario.node("c").disk.rates = DiskRates(stall=1.0, stall_ms_max=30_000)
    for _ in range(150):
        scenario.commit("a")
        scenario.run(200)
    assert len(scenario.leaders) == 1
    scenario.node("c").disk.rates = DiskRates(latency_ms_max=1)
    scenario.until(lambda: scenario.node("c").disk.is_idle, 30_000)
    took_ms = scenario.until(lambda: scenario.certified("c") == scenario.certified("a"), 5000)
    assert took_ms < 5000
    scenario.finish()


def test_t19_ordered_transfer_does_not_wait_for_the_leader_timeout() -> None:
    scenario = Scenario()
    scenario.lead("a")
    scenario.commit("a")
    scenario.run(300)
    scenario.hand_over("a", "b")
    took_ms = scenario.until(lambda: scenario.leader() == "b", 1000)
    assert took_ms < 300
    scenario.commit("b")
    scenario.finish()


def test_t20_transfer_under_load_loses_no_payload_and_leaves_no_gap() -> None:
    scenario = Scenario()
    scenario.lead("a")
    block = scenario.commit("a")
    requests = []
    for _ in range(5):
        block = scenario.build(block)
        requests.append(scenario.submit("a", block))
    scenario.hand_over("a", "b")
    waiting = scenario.submit("a", scenario.build(block))
    took_ms = scenario.until(lambda: scenario.leader() == "b", 1000)
    assert took_ms < 300
    assert all(isinstance(scenario.answer(each), CommitCertified) for each in requests)
    assert isinstance(scenario.answer(waiting), RequestFailed)
    assert scenario.holds("b", block)
    scenario.finish()


def test_t20_transfer_to_a_target_that_lags_is_refused_and_the_leader_goes_on() -> None:
    scenario = Scenario()
    scenario.lead("a")
    scenario.commit("a")
    scenario.run(200)
    scenario.node("b").disk.rates = DiskRates(stall=1.0, stall_ms_max=60_000)
    scenario.submit("a", scenario.build_on_last("a"))
    epoch = scenario.epoch("a")
    request = scenario.hand_over("a", "b", timeout_ms=500)
    assert isinstance(scenario.answer(request), RequestFailed)
    assert (scenario.leader(), scenario.epoch("a")) == ("a", epoch)
    scenario.commit("a")
    scenario.node("b").disk.rates = DiskRates(latency_ms_max=1)
    scenario.run(60_000)
    scenario.finish()


def test_t20_target_that_dies_after_it_was_promised_gives_the_leadership_back() -> None:
    scenario = Scenario()
    scenario.lead("a")
    scenario.commit("a")
    scenario.run(300)
    request = scenario.hand_over("a", "b", timeout_ms=1000)
    scenario.until(lambda: scenario.node("a").machine.leadership is None, 500)
    scenario.crash("b")
    assert isinstance(scenario.answer(request), RequestFailed)
    scenario.until(lambda: scenario.leader() == "a", 2 * FAILOVER_MS)
    scenario.commit("a")
    scenario.finish()


@pytest.mark.parametrize("seed", range(20))
def test_t24_seven_nodes_that_notice_at_once_agree_within_two_rounds(seed: int) -> None:
    """Each waits its rank first, as the epoch managers do."""
    scenario = Scenario(7, seed=seed, network=NetworkRates(delay_ms_max=15, streams=True))
    scenario.lead("a")
    scenario.commit("a")
    scenario.crash("a")
    scenario.run(SETTINGS.leader_timeout_ms)
    began_ms, before = scenario.cluster.now_ms, scenario.epoch("b")
    for rank, name in enumerate("bcdefg"):
        scenario.cluster.scheduler.after(150 * rank, partial(scenario.designate, name))
    scenario.until(lambda: scenario.leader() is not None, FAILOVER_MS)
    assert scenario.epoch(scenario.leader() or "") <= before + 2
    assert scenario.cluster.now_ms - began_ms < SETTINGS.campaign_timeout_ms
    scenario.finish()


def test_t31_leader_whose_disk_is_stuck_makes_room() -> None:
    scenario = Scenario()
    scenario.lead("a")
    scenario.commit("a")
    scenario.run(300)
    scenario.node("a").disk.rates = DiskRates(stall=1.0, stall_ms_max=120_000)

    def another_leads() -> bool:
        scenario.designate("b")
        return scenario.leader() == "b"

    took_ms = scenario.until(another_leads, 5000)
    assert took_ms < 5000
    scenario.commit("b")
    scenario.node("a").disk.rates = DiskRates(latency_ms_max=1)
    scenario.run(120_000)
    scenario.finish()


@pytest.mark.parametrize("stall_ms", [200, 900, 1100, 3000, 30_000])
def test_t32_leader_that_stood_still_does_not_act_on_a_lease_that_has_run_out(
    stall_ms: int,
) -> None:
    scenario = Scenario()
    scenario.lead("a")
    scenario.commit("a")
    scenario.run(300)
    scenario.cluster.stall(scenario.node("a").key.server_id, stall_ms)
    stale = scenario.build_on_last("b")
    request = scenario.submit("a", stale)
    read = scenario.read("a")
    scenario.run(stall_ms // 2)
    if stall_ms > 2 * FAILOVER_MS:
        scenario.lead("b")
        scenario.commit("b")
    scenario.run(stall_ms)
    keeps = stall_ms < SETTINGS.lease_ms
    assert isinstance(scenario.answer(request), CommitCertified) is keeps
    assert isinstance(scenario.answer(read), RequestFailed) is not keeps
    scenario.finish()


def test_t35_caller_that_hangs_up_cancels_nothing() -> None:
    scenario = Scenario()
    scenario.lead("a")
    scenario.commit("a")
    held = hold_back(scenario, "b", "c")
    block = scenario.build_on_last("a")
    first = scenario.submit("a", block)
    scenario.tell("a", RequestAbandoned(first))
    again = scenario.submit("a", block)
    release(scenario, held)
    assert isinstance(scenario.answer(again), CommitCertified)
    assert first not in scenario.answers
    assert len(scenario.log("a").payloads_of_block(block.reference.block_hash)) == 1
    scenario.finish()
