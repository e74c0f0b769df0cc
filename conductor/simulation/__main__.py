"""`python -m conductor.simulation` is `simulate`."""

from __future__ import annotations

from conductor.simulation.cli import simulate

if __name__ == "__main__":
    simulate()
