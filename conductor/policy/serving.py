"""Whether this node is fit to lead, and why not.

Invariant: nothing counts as good for longer than it is known to be. Each input that is measured
carries its age, and one that has expired is as bad as a bad one: a stuck monitor, disk or event
loop makes the node step aside instead of looking healthy for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SequencerReading:
    """What the monitor last found of the sequencer on this host."""

    healthy: bool
    reason: str
    """Why it is not; empty when it is."""
    at_ms: int


@dataclass(frozen=True, slots=True)
class ServingInputs:
    """All that fitness depends on. Times are of one monotonic clock; None: it never happened."""

    now_ms: int
    formed: bool
    paused: bool
    draining: bool
    """It is stopping, and hands over what it has."""
    store_problem: str
    """Why the store takes no writes now, such as a full disk; empty when it does."""
    synced_at_ms: int | None
    """When a write last became durable. Something is written at every interval."""
    oldest_write_at_ms: int | None
    """Since when the oldest unfinished write waits; None when none does."""
    uncertified_since_ms: int | None
    """Since when this leader's oldest entry waits for a quorum; None when nothing waits."""
    loop_lag_ms: int
    """The worst delay of the event loop that was lately measured."""
    loop_measured_at_ms: int | None
    voters_reached: int
    """Voters that are known to be up, this node counted, leading or not."""
    voters_counted_at_ms: int | None
    quorum: int
    sequencer: SequencerReading | None
    """None while the monitor has found nothing yet."""
    has_sequencer: bool
    """Whether one is configured."""


@dataclass(frozen=True, slots=True)
class ServingLimits:
    """From when on an input is bad."""

    sync_age_ms_max: int
    write_age_ms_max: int
    certify_age_ms_max: int
    loop_lag_ms_max: int
    reading_age_ms_max: int
    """The age at which what was measured is not believed any more."""

    @classmethod
    def of_interval(cls, health_interval_ms: int) -> ServingLimits:
        """The limits that go with a health interval: three intervals of silence are too many."""
        return cls(
            sync_age_ms_max=3 * health_interval_ms,
            write_age_ms_max=2 * health_interval_ms,
            certify_age_ms_max=3 * health_interval_ms,
            loop_lag_ms_max=max(1, health_interval_ms // 2),
            reading_age_ms_max=3 * health_interval_ms,
        )


@dataclass(frozen=True, slots=True)
class Fitness:
    """The verdict on this node."""

    serving: bool
    sequencer_ok: bool
    """The sequencer is healthy, or none is configured."""
    reasons: tuple[str, ...]
    """Why it is not serving, in sentences; empty when it is."""


def judge_fitness(inputs: ServingInputs, limits: ServingLimits) -> Fitness:
    """Whether the node is fit to lead: when no row of the table objects."""
    reasons = tuple(reason for check in CHECKS if (reason := check(inputs, limits)))
    return Fitness(not reasons, not _sequencer(inputs, limits), reasons)


def _formed(inputs: ServingInputs, _: ServingLimits) -> str:
    return "" if inputs.formed else "the cluster has not formed yet"


def _paused(inputs: ServingInputs, _: ServingLimits) -> str:
    return "an operator has paused this node" if inputs.paused else ""


def _draining(inputs: ServingInputs, _: ServingLimits) -> str:
    return "this node is stopping" if inputs.draining else ""


def _store_takes_writes(inputs: ServingInputs, _: ServingLimits) -> str:
    return f"the store takes no writes: {inputs.store_problem}" if inputs.store_problem else ""


def _store_synced(inputs: ServingInputs, limits: ServingLimits) -> str:
    if inputs.synced_at_ms is None:
        return "the store has not made anything durable yet"
    age_ms = inputs.now_ms - inputs.synced_at_ms
    if age_ms <= limits.sync_age_ms_max:
        return ""
    return f"the store has not made anything durable for {age_ms} ms"


def _writes_finish(inputs: ServingInputs, limits: ServingLimits) -> str:
    if inputs.oldest_write_at_ms is None:
        return ""
    age_ms = inputs.now_ms - inputs.oldest_write_at_ms
    if age_ms <= limits.write_age_ms_max:
        return ""
    return f"a write to the store has been waiting for {age_ms} ms"


def _commits_complete(inputs: ServingInputs, limits: ServingLimits) -> str:
    if inputs.uncertified_since_ms is None:
        return ""
    age_ms = inputs.now_ms - inputs.uncertified_since_ms
    if age_ms <= limits.certify_age_ms_max:
        return ""
    return f"no quorum has acknowledged what this leader wrote {age_ms} ms ago"


def _loop_keeps_up(inputs: ServingInputs, limits: ServingLimits) -> str:
    if _expired(inputs.loop_measured_at_ms, inputs, limits):
        return "the delay of the event loop was not measured lately"
    if inputs.loop_lag_ms <= limits.loop_lag_ms_max:
        return ""
    return f"the event loop is {inputs.loop_lag_ms} ms late"


def _quorum_in_reach(inputs: ServingInputs, limits: ServingLimits) -> str:
    if not inputs.formed:
        return ""
    if _expired(inputs.voters_counted_at_ms, inputs, limits):
        return "the other voters were not counted lately"
    if inputs.voters_reached >= inputs.quorum:
        return ""
    return f"{inputs.voters_reached} voters are in reach, a quorum is {inputs.quorum}"


def _sequencer(inputs: ServingInputs, limits: ServingLimits) -> str:
    if not inputs.has_sequencer:
        return ""
    reading = inputs.sequencer
    if reading is None or _expired(reading.at_ms, inputs, limits):
        return "the health of the sequencer is not known"
    return "" if reading.healthy else f"the sequencer is not healthy: {reading.reason}"


def _expired(at_ms: int | None, inputs: ServingInputs, limits: ServingLimits) -> bool:
    return at_ms is None or inputs.now_ms - at_ms > limits.reading_age_ms_max


Check = Callable[[ServingInputs, ServingLimits], str]
"""What an input has against the node; empty when nothing."""

CHECKS: tuple[Check, ...] = (
    _formed,
    _paused,
    _draining,
    _store_takes_writes,
    _store_synced,
    _writes_finish,
    _commits_complete,
    _loop_keeps_up,
    _quorum_in_reach,
    _sequencer,
)
"""Every input, in the order in which `/health` lists what is wrong."""
