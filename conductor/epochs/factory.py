"""Chooses the epoch manager that the configuration asks for."""

from __future__ import annotations

from conductor.config import Config
from conductor.core.values import ServerId
from conductor.epochs.health import HealthEpochManager
from conductor.epochs.static import StaticEpochManager
from conductor.ports import EpochManager


def create_epoch_manager(config: Config) -> EpochManager:
    """The manager of `--epoch-manager`, not started yet."""
    timing = config.timing
    match config.epoch_manager:
        case "static":
            return StaticEpochManager(
                ServerId(config.leader or config.server_id),
                campaign_stagger_ms=timing.campaign_stagger_ms,
            )
        case "health":
            return HealthEpochManager(
                preempts=config.leader_order == "ordered",
                preempt_hold_down_ms=timing.preempt_hold_down_ms,
                campaign_stagger_ms=timing.campaign_stagger_ms,
                health_interval_ms=timing.health_interval_ms,
            )
