"""The workers that joined, and the exchange that the master keeps with each."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.master.router import Router
from shared.errors import ServingError, WorkerLost
from shared.health import HealthBoard
from shared.membership import Hello, Notice, Offers, Report
from shared.tasks import TaskScope, task_scope
from shared.wire.exchange import Exchange, open_exchange
from shared.wire.interface import Wire

EXCHANGE_PATH = "/mindserve.serving.v1.Dispatch/Exchange"


class Workers:
    """Observes the registrar: a joined worker gets an exchange, its offers a route."""

    def __init__(
        self, wire: Wire, scope: TaskScope, router: Router, health: HealthBoard, limit: int
    ) -> None:
        self._wire = wire
        self._scope = scope
        self._router = router
        self._health = health
        self._limit = limit
        self._links: dict[str, asyncio.Task[None]] = {}
        self._exchanges: dict[str, Exchange] = {}
        self._offers: dict[str, Offers] = {}

    def exchange(self, worker: str) -> Exchange:
        """The exchange with a worker that the router chose."""
        return self._exchanges[worker]

    def outstanding(self, worker: str) -> int:
        """Requests in the hands of ``worker``."""
        return self._exchanges[worker].outstanding

    def joined(self, hello: Hello) -> Notice | None:
        self._links[hello.member_id] = self._scope.spawn(
            self._keep(hello), name=f"exchange with worker {hello.member_id}"
        )
        return None

    def reported(self, hello: Hello, report: Report) -> None:
        if isinstance(report, Offers):
            self._offers[hello.member_id] = report
            self._route(hello.member_id)

    def left(self, hello: Hello, reason: str) -> None:
        self._offers.pop(hello.member_id, None)
        link = self._links.pop(hello.member_id, None)
        if link is not None:
            link.cancel()
        self._route(hello.member_id)

    def _route(self, worker: str) -> None:
        if worker in self._exchanges and worker in self._offers:
            self._router.update(worker, self._offers[worker])
        else:
            self._router.remove(worker)
        for servable, serving in self._router.serving().items():
            self._health.set(servable, serving)

    async def _keep(self, hello: Hello) -> None:
        while True:
            with contextlib.suppress(ServingError):
                async with (
                    self._wire.connect(hello.address) as channel,
                    open_exchange(
                        channel,
                        EXCHANGE_PATH,
                        peer="the worker",
                        max_outstanding=self._limit,
                        lost=WorkerLost,
                    ) as exchange,
                ):
                    self._exchanges[hello.member_id] = exchange
                    self._route(hello.member_id)
                    try:
                        await asyncio.Future()
                    finally:
                        del self._exchanges[hello.member_id]
                        self._route(hello.member_id)
            await asyncio.sleep(0.1)


@asynccontextmanager
async def open_workers(
    wire: Wire, router: Router, health: HealthBoard, limit: int
) -> AsyncIterator[Workers]:
    """The workers of one master while inside."""
    async with task_scope() as scope:
        yield Workers(wire, scope, router, health, limit)
