"""Whether this node is fit to lead: gathers what its monitors measure, and lets the policy judge.

Invariant: it decides nothing itself; every input is as old as it says.
"""

from __future__ import annotations

from dataclasses import dataclass

from conductor.config import Config, config_warnings
from conductor.core.forming import Forming, Waiting
from conductor.core.machine import Machine
from conductor.core.quorum import MAJORITY, is_split_brain_safe, quorum_size
from conductor.policy.serving import ServingInputs, ServingLimits, judge_fitness


@dataclass(frozen=True, slots=True)
class Measurements:
    """What the runtime measured at a beat. Times are of the node's monotonic clock."""

    now_ms: int
    loop_lag_ms: int
    paused: bool
    draining: bool
    store_is_full: bool
    synced_at_ms: int | None
    """When a write last became durable; None before the node is a member."""
    voters_reached: int
    """Voters that answer probes, this node counted."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What the monitors of a node say of it now."""

    serving: bool
    sequencer_ok: bool
    reasons: tuple[str, ...]
    """Why it is not serving."""
    remarks: tuple[str, ...] = ()
    """What else an operator should know."""


class Monitor:
    """Assesses the node at every beat, and remembers since when it serves."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._limits = ServingLimits.of_interval(config.timing.health_interval_ms)
        self._remarks: dict[int, tuple[str, ...]] = {}
        """By the number of voters: nothing else that they depend on ever changes."""
        self.serving_since_ms: int | None = None

    def assess(
        self, machine: Machine | None, forming: Forming, measured: Measurements
    ) -> Condition:
        """The verdict, with a sentence for everything an operator should know."""
        quorum = machine.node.log.membership.quorum if machine else 1
        pending_ms = machine.node.outbox.oldest_pending_age_ms(measured.now_ms) if machine else 0
        leadership = machine.leadership if machine else None
        inputs = ServingInputs(
            now_ms=measured.now_ms,
            formed=machine is not None,
            paused=measured.paused,
            draining=measured.draining,
            store_problem="there is no space left" if measured.store_is_full else "",
            synced_at_ms=measured.synced_at_ms,
            oldest_write_at_ms=measured.now_ms - pending_ms if pending_ms else None,
            uncertified_since_ms=leadership.uncertified_since_ms if leadership else None,
            loop_lag_ms=measured.loop_lag_ms,
            loop_measured_at_ms=measured.now_ms,
            voters_reached=measured.voters_reached,
            voters_counted_at_ms=measured.now_ms,
            quorum=quorum,
            sequencer=None,
            has_sequencer=False,
        )
        fitness = judge_fitness(inputs, self._limits)
        if not fitness.serving:
            self.serving_since_ms = None
        elif self.serving_since_ms is None:
            self.serving_since_ms = measured.now_ms
        reasons = fitness.reasons if machine else self._why_not_formed(forming)
        remarks = self._remarks_on(self._voters_count(machine))
        return Condition(fitness.serving, fitness.sequencer_ok, reasons, remarks)

    def _remarks_on(self, voters_count: int) -> tuple[str, ...]:
        remarks = self._remarks.get(voters_count)
        if remarks is None:
            remarks = self._remarks[voters_count] = config_warnings(self._config, voters_count)
        return remarks

    def quorum_safe(self, machine: Machine | None) -> bool:
        """Whether two sides of a partition can never both have a quorum."""
        if machine is not None:
            return machine.node.log.membership.quorum_safe
        count = self._voters_count(None)
        rule = self._config.quorum_rule
        return rule == MAJORITY or is_split_brain_safe(quorum_size(rule, count), count)

    def _voters_count(self, machine: Machine | None) -> int:
        if machine is None:
            return len(self._config.voter_addresses)
        return len(machine.node.log.membership.voters)

    @staticmethod
    def _why_not_formed(forming: Forming) -> tuple[str, ...]:
        verdict = forming.verdict()
        details = verdict.reasons if isinstance(verdict, Waiting) else ()
        return ("the cluster has not formed yet", *details)
