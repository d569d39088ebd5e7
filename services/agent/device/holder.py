"""The servable versions that this agent holds, each with its supervisor."""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from services.agent.collective.rank import Rank
from services.agent.device.epochs import change
from services.agent.device.part import PartSupervisor
from services.agent.device.supervisor import Limits, Supervisor
from services.agent.device.work import Done, Work
from shared.decryption import DecryptionKey
from shared.errors import Draining, Unavailable
from shared.membership import Assigned, Assignment, Device, Holding, Holdings
from shared.servable import ServableVersion
from shared.tasks import TaskScope

log = structlog.get_logger()


class Holder:
    """Starts and ends supervisors as the worker's assignment says."""

    def __init__(
        self,
        scope: TaskScope,
        device: Device,
        limits: Limits,
        changed: Callable[[], None],
        keys: Mapping[str, DecryptionKey],
        rank: Rank | None = None,
    ) -> None:
        self._scope = scope
        self._device = device
        self._limits = limits
        self._changed = changed
        self._keys = keys
        self._rank = rank
        self._draining = False
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._held: dict[Assigned, tuple[Supervisor, asyncio.Task[None]]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._refused: tuple[Holding, ...] = ()
        self.latest_epoch = 0
        """Of the gangs that were heard of."""

    def holdings(self) -> Holdings:
        """How far each servable version is; nothing once this agent drains."""
        if self._draining:
            return Holdings()
        held = (supervisor.holding for supervisor, _ in self._held.values())
        return Holdings((*held, *self._refused))

    def assign(self, assignment: Assignment) -> None:
        """Hold exactly this; what is held already goes on undisturbed."""
        rank = self._rank.number if self._rank else None
        todo = change(self._held.keys(), assignment, self.latest_epoch, rank)
        self.latest_epoch = todo.latest_epoch
        self._refused = todo.refused
        for refused in todo.refused:
            log.warning("part of a gang refused", what=str(refused.what), reason=refused.detail)
        for gone in todo.end:
            task = self._held.pop(gone)[1]
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        for assigned in todo.begin:
            supervisor = self._supervisor_for(assigned)
            task = self._scope.spawn(supervisor.run(), name=f"device of {assigned.what}")
            self._held[assigned] = (supervisor, task)
        self._changed()

    def _supervisor_for(self, assigned: Assigned) -> Supervisor:
        key = self._keys.get(assigned.what.servable)
        if assigned.gang is None or self._rank is None:
            return Supervisor(assigned, self._device, self._limits, self._changed, key)
        return PartSupervisor(
            assigned,
            assigned.gang,
            self._rank,
            self._device,
            self._limits,
            self._changed,
            key,
            after=tuple(self._ending),
        )

    async def execute(self, work: Work) -> Done:
        """Run one batch; Unavailable when its servable version is not held here."""
        if self._draining:
            raise Draining("this agent is shutting down")
        return await self._run(self._supervisor_of(work.what), work)

    def _supervisor_of(self, what: ServableVersion) -> Supervisor:
        for assigned, (supervisor, _) in self._held.items():
            if assigned.what == what:
                return supervisor
        raise Unavailable(f"{what} is not held by this agent")

    async def _run(self, supervisor: Supervisor, work: Work) -> Done:
        self._running += 1
        self._idle.clear()
        try:
            return await supervisor.execute(work)
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    @property
    def running(self) -> int:
        """Batches in the hands of device processes."""
        return self._running

    async def drain(self) -> None:
        """Offer nothing more and wait until every batch is answered."""
        self._draining = True
        self._changed()
        await self._idle.wait()
