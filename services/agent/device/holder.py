"""The servable versions that this agent holds, each with its supervisor."""

import asyncio
from collections.abc import Callable

from services.agent.device.supervisor import Limits, Supervisor
from shared.errors import Unavailable
from shared.membership import Assigned, Assignment, Device, Holdings
from shared.servable import ServableVersion
from shared.tasks import TaskScope
from shared.tensors import Array


class Holder:
    """Starts and ends supervisors as the worker's assignment says."""

    def __init__(
        self, scope: TaskScope, device: Device, limits: Limits, changed: Callable[[], None]
    ) -> None:
        self._scope = scope
        self._device = device
        self._limits = limits
        self._changed = changed
        self._held: dict[Assigned, tuple[Supervisor, asyncio.Task[None]]] = {}

    def holdings(self) -> Holdings:
        """How far each servable version is."""
        return Holdings(tuple(supervisor.holding for supervisor, _ in self._held.values()))

    def assign(self, assignment: Assignment) -> None:
        """Hold exactly this; what is held already goes on undisturbed."""
        for gone in self._held.keys() - set(assignment.servables):
            self._held.pop(gone)[1].cancel()
        for assigned in assignment.servables:
            if assigned not in self._held:
                supervisor = Supervisor(assigned, self._device, self._limits, self._changed)
                task = self._scope.spawn(supervisor.run(), name=f"device of {assigned.what}")
                self._held[assigned] = (supervisor, task)
        self._changed()

    async def execute(
        self, what: ServableVersion, model: str, subgraph: int, inputs: list[Array], rows: int
    ) -> tuple[list[Array], float]:
        """Run one batch of ``what``; Unavailable when it is not held here."""
        for assigned, (supervisor, _) in self._held.items():
            if assigned.what == what:
                return await supervisor.execute(model, subgraph, inputs, rows)
        raise Unavailable(f"{what} is not held by this agent")
