"""One simulated server: the real core, a simulated disk and a clock of its own."""

from __future__ import annotations

from collections import deque

from conductor.core.events import Event
from conductor.core.machine import Machine
from conductor.core.node import Settings
from conductor.core.values import Digest, Member
from conductor.simulation.disk import Disk
from conductor.simulation.scheduler import LocalClock


class SimulatedNode:
    """A member of the cluster, up or down. Its disk outlives its crashes."""

    def __init__(
        self,
        member: Member,
        *,
        cluster_id: Digest,
        settings: Settings,
        disk: Disk,
        clock: LocalClock,
    ) -> None:
        self.key = member.key
        """The server and its incarnation."""
        self.settings = settings
        self.disk = disk
        self.clock = clock
        self.life = 0
        """Counts its starts."""
        self.stalled = False
        """Whether its process stands still; what reaches it waits in `backlog`."""
        self.backlog: deque[Event] = deque()
        self.wake_ms: int | None = None
        """The virtual time for which a look at its deadlines is planned."""
        self.woken_ms = 0
        self.wakes = 0
        """How often it was woken at `woken_ms` of its own clock."""
        self._cluster_id = cluster_id
        self._machine: Machine | None = None

    @property
    def is_up(self) -> bool:
        """Whether its process runs, or stands still."""
        return self._machine is not None

    @property
    def machine(self) -> Machine:
        """The core of the running process."""
        machine = self._machine
        assert machine is not None
        return machine

    @property
    def leads(self) -> bool:
        """Whether it is up and says that it leads."""
        return self._machine is not None and self._machine.is_established

    def boot(self) -> None:
        """Start from what the disk holds. StoreDamaged when that contradicts itself."""
        self.life += 1
        self._machine = Machine(
            key=self.key,
            cluster_id=self._cluster_id,
            settings=self.settings,
            log=self.disk.load(),
            promise=self.disk.promise,
        )

    def crash(self) -> None:
        """Lose the process, and of the disk's queue whatever was not finished."""
        self._machine = None
        self.stalled = False
        self.backlog.clear()
        self.wake_ms = None
        self.disk.crash()
