"""Runs the requests of masters and clients: bounds them, counts them, and answers."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from services.worker.graph.plan import MethodPlan
from services.worker.graph.runner import GraphRunner
from services.worker.metrics import Metrics
from services.worker.serving import Serving
from services.worker.servings import Servings
from shared.errors import (
    REAL_STATUSES,
    Draining,
    InvalidRequest,
    NotServed,
    Overloaded,
    ServingError,
    Unavailable,
)
from shared.servable import Method, ServableVersion, request_text
from shared.tallies import Counter
from shared.urgency import Urgency
from shared.wire.predict_codec import PredictMessage, write_reply

log = structlog.get_logger()


class Requests:
    """Requests in progress: at most ``max_calls``."""

    def __init__(
        self, servings: Servings, runner: GraphRunner, metrics: Metrics, *, max_calls: int
    ) -> None:
        self._servings = servings
        self._runner = runner
        self._metrics = metrics
        self._max_calls = max_calls
        self._outstanding = 0
        metrics.outstanding.set_function(lambda: self._outstanding)
        self._answered: dict[tuple[ServableVersion, str, str], Counter] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def outstanding(self) -> int:
        """Requests in progress."""
        return self._outstanding

    async def drained(self) -> None:
        """Wait until every accepted request is answered."""
        await self._idle.wait()

    async def predict(
        self, request: PredictMessage, version: int, urgency: Urgency, request_id: str
    ) -> bytes:
        """The serialized PredictReply to a request for exactly ``version``.

        Raises what no reply can say (``REAL_STATUSES``), and NotServed or InvalidRequest.
        """
        what = ServableVersion(request.servable, version)
        serving, plan = self._find(what, request.method)
        outcome = "Cancelled"
        try:
            self._check_place()
            urgency = self._checked(urgency, serving, plan.method)
            with self._counted(serving):
                reply, outcome = await self._answer(serving, plan, request, urgency, request_id)
                return reply
        except ServingError as failure:
            outcome = type(failure).__name__
            raise
        finally:
            self._count_outcome(what, request.method, outcome)

    def _count_outcome(self, what: ServableVersion, method: str, outcome: str) -> None:
        labels = (what, method, outcome)
        counter = self._answered.get(labels)
        if counter is None:
            # Finding a counter by its labels costs more than counting.
            counter = self._answered[labels] = self._metrics.requests.of(
                what.servable, what.version, method, outcome
            )
        counter.inc()

    def _find(self, what: ServableVersion, method_name: str) -> tuple[Serving, MethodPlan]:
        serving = self._servings.find(what)
        if serving is None or not serving.ready or serving.closed:
            raise Unavailable(f"{what} is not served here now")
        plan = serving.plans.get(method_name)
        if plan is None or method_name not in serving.offered:
            raise NotServed(f"{request_text(what.servable, method_name)}, method is not available")
        return serving, plan

    def _checked(self, urgency: Urgency, serving: Serving, method: Method) -> Urgency:
        """With the method's times; raises InvalidRequest for a level that nobody has."""
        if urgency.priority > serving.priority_levels:
            raise InvalidRequest(
                f"{request_text(serving.what.servable, method.name)}, priority: expected a level"
                f" from 1 (the highest) to {serving.priority_levels}, got {urgency.priority}"
            )
        if method.timeout_seconds is None and method.max_timeout_seconds is None:
            return urgency
        now = asyncio.get_running_loop().time()
        if urgency.is_default:
            urgency = urgency.within(method.timeout_seconds, now=now)
        return urgency.within(method.max_timeout_seconds, now=now)

    @contextmanager
    def accepted(self, serving: Serving) -> Iterator[None]:
        """A place among the requests in progress; raises Draining or Overloaded."""
        self._check_place()
        with self._counted(serving):
            yield

    def _check_place(self) -> None:
        """Raises Draining or Overloaded when there is no place for one more request."""
        if self._servings.draining:
            raise Draining("this worker is shutting down")
        if self._outstanding >= self._max_calls:
            raise Overloaded(f"{self._max_calls} requests are in progress already")

    @contextmanager
    def _counted(self, serving: Serving) -> Iterator[None]:
        self._count(serving, +1)
        try:
            yield
        finally:
            self._count(serving, -1)

    def _count(self, serving: Serving, by: int) -> None:
        serving.count(by)
        self._outstanding += by
        if not self._outstanding:
            self._idle.set()
        elif self._outstanding == by:
            self._idle.clear()

    async def _answer(
        self,
        serving: Serving,
        plan: MethodPlan,
        request: PredictMessage,
        urgency: Urgency,
        request_id: str,
    ) -> tuple[bytes, str]:
        what, method = serving.what, plan.method
        instances = request.instances(method)
        outcomes = await self._runner.run(what, plan, serving.models, instances, urgency)
        failures = [each for each in outcomes if isinstance(each, ServingError)]
        if failures:
            log.info(
                "instances failed",
                request_id=request_id,
                what=str(what),
                method=method.name,
                failed=len(failures),
                of=len(outcomes),
                error=type(failures[0]).__name__,
                reason=failures[0].message,
            )
            if len(failures) == len(outcomes) and isinstance(failures[0], REAL_STATUSES):
                raise failures[0]
        reply = write_reply(what, method, outcomes)
        return reply, type(failures[0]).__name__ if failures else "ok"
