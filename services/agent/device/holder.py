"""The servable versions that this agent holds, each with its supervisor."""

import asyncio
from collections.abc import Callable, Mapping

from services.agent.device.supervisor import Limits, Supervisor
from services.agent.device.work import Done, Work
from shared.decryption import DecryptionKey
from shared.errors import Draining, Unavailable
from shared.membership import Assigned, Assignment, Device, Holdings
from shared.tasks import TaskScope


class Holder:
    """Starts and ends supervisors as the worker's assignment says."""

    def __init__(
        self,
        scope: TaskScope,
        device: Device,
        limits: Limits,
        changed: Callable[[], None],
        keys: Mapping[str, DecryptionKey],
    ) -> None:
        self._scope = scope
        self._device = device
        self._limits = limits
        self._changed = changed
        self._keys = keys
        self._draining = False
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._held: dict[Assigned, tuple[Supervisor, asyncio.Task[None]]] = {}

    def holdings(self) -> Holdings:
        """How far each servable version is; nothing once this agent drains."""
        if self._draining:
            return Holdings()
        return Holdings(tuple(supervisor.holding for supervisor, _ in self._held.values()))

    def assign(self, assignment: Assignment) -> None:
        """Hold exactly this; what is held already goes on undisturbed."""
        for gone in self._held.keys() - set(assignment.servables):
            self._held.pop(gone)[1].cancel()
        for assigned in assignment.servables:
            if assigned not in self._held:
                key = self._keys.get(assigned.what.servable)
                supervisor = Supervisor(assigned, self._device, self._limits, self._changed, key)
                task = self._scope.spawn(supervisor.run(), name=f"device of {assigned.what}")
                self._held[assigned] = (supervisor, task)
        self._changed()

    async def execute(self, work: Work) -> Done:
        """Run one batch; Unavailable when its servable version is not held here."""
        if self._draining:
            raise Draining("this agent is shutting down")
        for assigned, (supervisor, _) in self._held.items():
            if assigned.what == work.what:
                return await self._run(supervisor, work)
        raise Unavailable(f"{work.what} is not held by this agent")

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
