"""The workers that are there: a connection to each, and what each offers."""

import asyncio
from dataclasses import dataclass, field

import structlog

from services.master.metrics import Metrics
from services.master.router import Router
from shared.deadline import Deadline
from shared.errors import ServingError, Unavailable, WorkerLost
from shared.health import HealthBoard
from shared.membership import Hello, Notice, Offers, Report
from shared.tasks import TaskScope
from shared.wire.exchange import Exchange, open_exchange
from shared.wire.interface import Wire

log = structlog.get_logger()

DISPATCH_PATH = "/mindserve.serving.v1.Dispatch/Exchange"
_RETRY_SECONDS = 0.2
_PEER = "the worker"


@dataclass(slots=True)
class _Worker:
    """One joined worker."""

    hello: Hello
    offers: Offers = field(default_factory=Offers)
    exchange: Exchange | None = None
    link: asyncio.Task[None] | None = None


class Workers:
    """Observes who joins and leaves, and carries calls to those who are there."""

    def __init__(
        self,
        wire: Wire,
        scope: TaskScope,
        router: Router,
        health: HealthBoard,
        metrics: Metrics,
        *,
        max_outstanding: int,
    ) -> None:
        self._wire = wire
        self._scope = scope
        self._router = router
        self._health = health
        self._metrics = metrics
        self._max_outstanding = max_outstanding
        self._workers: dict[str, _Worker] = {}

    def joined(self, hello: Hello) -> Notice | None:
        """See ``MemberObserver``."""
        worker = self._workers[hello.member_id] = _Worker(hello)
        worker.link = self._scope.spawn(self._keep_link(worker), name=f"link {hello.member_id}")
        return None

    def reported(self, hello: Hello, report: Report) -> None:
        """See ``MemberObserver``."""
        worker = self._workers.get(hello.member_id)
        if worker is not None and isinstance(report, Offers):
            worker.offers = report
            self._publish(worker)

    def left(self, hello: Hello, reason: str) -> None:
        """See ``MemberObserver``: calls in the worker's hands fail at once."""
        worker = self._workers.pop(hello.member_id)
        self._router.remove(hello.member_id)
        self._state_health()
        if worker.exchange is not None:
            worker.exchange.end(WorkerLost(f"{_PEER} left with this request in its hands"))
        if worker.link is not None:
            worker.link.cancel()

    def outstanding(self, member_id: str) -> int:
        """Calls in the hands of a worker."""
        exchange = self._workers[member_id].exchange
        return exchange.outstanding if exchange is not None else 0

    async def call(
        self, member_id: str, payload: bytes, *, deadline: Deadline, request_id: str
    ) -> bytes:
        """Send one call to one worker and wait for its answer."""
        exchange = self._workers[member_id].exchange
        if exchange is None:
            raise Unavailable(f"{_PEER} is not connected")
        return await exchange.call(payload, deadline=deadline, request_id=request_id)

    async def _keep_link(self, worker: _Worker) -> None:
        while True:
            try:
                await self._link(worker)
            except ServingError as failure:
                log.info("link lost", worker=worker.hello.member_id, reason=failure.message)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _link(self, worker: _Worker) -> None:
        async with (
            self._wire.connect(worker.hello.address) as channel,
            open_exchange(
                channel,
                DISPATCH_PATH,
                peer=_PEER,
                max_outstanding=self._max_outstanding,
                lost=WorkerLost,
            ) as exchange,
        ):
            worker.exchange = exchange
            self._publish(worker)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                worker.exchange = None
                self._publish(worker)

    def _publish(self, worker: _Worker) -> None:
        """Let the router know a worker as long as it is joined and connected."""
        member_id = worker.hello.member_id
        if self._workers.get(member_id) is worker:
            if worker.exchange is not None:
                self._router.update(member_id, worker.offers)
            else:
                self._router.remove(member_id)
        self._state_health()

    def _state_health(self) -> None:
        open_for_work = bool(self._health.get(""))
        for name, serving in self._router.servables().items():
            self._health.set(name, serving and open_for_work)
        linked = sum(worker.exchange is not None for worker in self._workers.values())
        self._metrics.workers.set(linked)
