"""The workers that are there: a connection to each, and what each offers."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field

from services.master.language_models import LanguageModels
from services.master.metrics import Metrics
from services.master.router import Router
from services.master.text_channels import TextChannels
from shared.deadline import Deadline
from shared.errors import WorkerLost
from shared.health import HealthBoard
from shared.membership import Heartbeat, Hello, Notice, Offers, Report
from shared.tasks import TaskScope
from shared.wire.interface import Wire
from shared.wire.link import Link

DISPATCH_PATH = "/mindserve.serving.v1.Dispatch/Exchange"


@dataclass(slots=True)
class _Worker:
    """One joined worker."""

    member_id: str
    link: Link
    task: asyncio.Task[None]
    offers: Offers = field(default_factory=Offers)
    calls_of_others: int = 0
    """Calls that other masters and clients have in its hands, as of its latest heartbeat."""


class Workers:
    """Observes who joins and leaves, and carries calls to those who are there."""

    def __init__(
        self,
        wire: Wire,
        scope: TaskScope,
        router: Router,
        health: HealthBoard,
        metrics: Metrics,
        models: LanguageModels,
        *,
        max_outstanding: int,
    ) -> None:
        self._models = models
        self.texts = TextChannels(wire, scope)
        """How language models of workers are called."""
        self._wire = wire
        self._scope = scope
        self._router = router
        self._health = health
        self._metrics = metrics
        self._max_outstanding = max_outstanding
        self._workers: dict[str, _Worker] = {}

    def joined(self, hello: Hello) -> Notice | None:
        """See ``MemberObserver``."""
        link = Link(
            self._wire,
            [hello.address],
            DISPATCH_PATH,
            peer="the worker",
            max_outstanding=self._max_outstanding,
            lost=WorkerLost,
            changed=lambda: self._publish(worker),
            shares_memory=True,
        )
        task = self._scope.spawn(link.keep(), name=f"link to worker {hello.member_id}")
        worker = self._workers[hello.member_id] = _Worker(hello.member_id, link, task)
        self.texts.open(hello.member_id, hello.address)
        return None

    def reported(self, hello: Hello, report: Report) -> None:
        """See ``MemberObserver``."""
        worker = self._workers.get(hello.member_id)
        if worker is None:
            return
        if isinstance(report, Heartbeat):
            ours = worker.link.outstanding + self.texts.outstanding(hello.member_id)
            worker.calls_of_others = max(0, report.outstanding - ours)
        elif isinstance(report, Offers):
            worker.offers = report
            self._publish(worker)

    def left(self, hello: Hello, reason: str) -> None:
        """See ``MemberObserver``: calls in the worker's hands fail at once."""
        worker = self._workers.pop(hello.member_id)
        self._router.remove(hello.member_id)
        self._models.remove(hello.member_id)
        self._state_health()
        self.texts.close(hello.member_id)
        worker.link.end()
        worker.task.cancel()

    @property
    def addresses(self) -> list[str]:
        """Where the workers that are connected are called."""
        return [each.link.address for each in self._workers.values() if each.link.connected]

    def outstanding(self, member_id: str) -> int:
        """Calls in the hands of a worker, those of other masters as it last told."""
        worker = self._workers[member_id]
        ours = worker.link.outstanding + self.texts.outstanding(member_id)
        return ours + worker.calls_of_others

    def call(
        self,
        member_id: str,
        payload: bytes,
        *,
        head: bytes,
        deadline: Deadline | None,
        request_id: str,
    ) -> Awaitable[bytes]:
        """Send one call to one worker and wait for its answer."""
        link = self._workers[member_id].link
        return link.call(payload, head=head, deadline=deadline, request_id=request_id)

    def _publish(self, worker: _Worker) -> None:
        """Let the router know a worker as long as it is joined and connected."""
        if self._workers.get(worker.member_id) is worker:
            if worker.link.connected:
                self._router.update(worker.member_id, worker.offers)
                self._models.update(worker.member_id, worker.offers)
            else:
                self._router.remove(worker.member_id)
                self._models.remove(worker.member_id)
        self._state_health()

    def _state_health(self) -> None:
        open_for_work = bool(self._health.get(""))
        for name, serving in self._router.servables().items():
            self._health.set(name, serving and open_for_work)
        self._metrics.workers.set(sum(each.link.connected for each in self._workers.values()))
