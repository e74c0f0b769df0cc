"""`simulate`: run schedules by seed, and replay one that failed."""

from __future__ import annotations

import sys
from collections import Counter

import click

from conductor.simulation.plan import PROFILES
from conductor.simulation.schedule import Outcome, run_schedule
from conductor.simulation.trace import Trace

TRACE_LINES = 60
"""How much of the end of a failed schedule is shown unasked."""


@click.command(name="simulate")
@click.option("--seed", default=0, show_default=True, help="The first seed.")
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    default="swarm",
    show_default=True,
    help="What the schedules are made of: "
    + "; ".join(f"{name}: {what}" for name, what in PROFILES.items())
    + ".",
)
@click.option("--schedules", default=1, show_default=True, help="How many seeds, in a row.")
@click.option("--trace", "shows_trace", is_flag=True, help="Show every step of a single schedule.")
def simulate(seed: int, profile: str, schedules: int, shows_trace: bool) -> None:
    """Run clusters on simulated clocks, disks and networks, and hold them to their promises.

    The same seed and profile give the same schedule on every machine. Ends with 1 at the first
    schedule that breaks a promise, naming the command that replays it.
    """
    if schedules == 1:
        trace = Trace(keeps_text=True)
        outcome = run_schedule(seed, profile, trace=trace)
        lines = list(trace.lines)
        if shows_trace or outcome.violation:
            click.echo("\n".join(lines if shows_trace else lines[-TRACE_LINES:]))
        _report(outcome)
        _summarise(1, outcome.steps, outcome.counts)
        return
    counts: Counter[str] = Counter()
    steps = 0
    for number in range(seed, seed + schedules):
        outcome = run_schedule(number, profile)
        _report(outcome)
        steps += outcome.steps
        counts.update(outcome.counts)
    _summarise(schedules, steps, counts)


def _report(outcome: Outcome) -> None:
    """End the program when a promise was broken."""
    if outcome.violation is not None:
        click.echo(outcome.failure, err=True)
        sys.exit(1)


def _summarise(schedules: int, steps: int, counts: Counter[str]) -> None:
    click.echo(f"{schedules} schedules, {steps} steps: every promise kept")
    for name in sorted(counts):
        click.echo(f"  {name:<20} {counts[name]:>8}")
