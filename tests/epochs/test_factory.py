"""The epoch manager that a configuration asks for."""

from __future__ import annotations

from conductor.config import Address, Config, LeaderOrder, PeerAddress
from conductor.epochs import create_epoch_manager
from conductor.ports import EpochManager
from tests.epochs.builders import a_leader, observe

PEERS = (PeerAddress(Address("host-b", 18080)), PeerAddress(Address("host-c", 18080)))
LATER_MS = 60_000


def named_by(manager: EpochManager, now_ms: int, leader: str | None = None) -> str | None:
    """Whom the manager names among three fit voters."""
    led = a_leader(leader) if leader else None
    designation = manager.designate(observe(now_ms, "a", "b", "c", leader=led))
    return designation.server_id if designation is not None else None


def test_static_manager_names_the_configured_leader() -> None:
    config = Config(peers=PEERS, epoch_manager="static", leader="c")
    assert named_by(create_epoch_manager(config), 0) == "c"


def test_static_manager_of_a_single_server_names_that() -> None:
    config = Config(server_id="a", epoch_manager="static")
    assert named_by(create_epoch_manager(config), 0) == "a"


def test_health_manager_takes_the_leadership_back_only_when_ordered() -> None:
    def final_leader(order: LeaderOrder) -> str | None:
        manager = create_epoch_manager(Config(peers=PEERS, leader_order=order))
        assert named_by(manager, 0, leader="b") == "b"
        return named_by(manager, LATER_MS, leader="b")

    assert final_leader("ordered") == "a"
    assert final_leader("sticky") == "b"
