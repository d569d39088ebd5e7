"""What masters call: requests as their clients sent them, many on one stream."""

import asyncio

import structlog
from google.protobuf.message import DecodeError
from prometheus_client import Counter

from protos.serving.v1 import dispatch_pb2
from services.worker.graph.plan import MethodPlan
from services.worker.graph.runner import GraphRunner
from services.worker.metrics import Metrics
from services.worker.servings import Serving, Servings
from shared.errors import (
    REAL_STATUSES,
    Draining,
    InvalidRequest,
    NotServed,
    Overloaded,
    ServingError,
    Unavailable,
)
from shared.servable import ServableVersion
from shared.wire.exchange_server import Incoming, serve_exchange
from shared.wire.interface import CallContext, Routes, Stream
from shared.wire.predict_codec import PredictMessage, read_predict, write_reply

log = structlog.get_logger()

DISPATCH_PATH = "/mindserve.serving.v1.Dispatch/Exchange"


class DispatchDoor:
    """Converts, runs the method, converts."""

    def __init__(
        self, servings: Servings, runner: GraphRunner, metrics: Metrics, *, max_calls: int
    ) -> None:
        self._servings = servings
        self._runner = runner
        self._metrics = metrics
        self._max_calls = max_calls
        self._outstanding = 0
        metrics.outstanding.set_function(lambda: self._outstanding)
        self._answered: dict[tuple[str, str, str], Counter] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def routes(self) -> Routes:
        """Serve these to masters."""
        return Routes(streams={DISPATCH_PATH: self._exchange})

    @property
    def outstanding(self) -> int:
        """Requests in progress."""
        return self._outstanding

    async def drained(self) -> None:
        """Wait until every accepted request is answered."""
        await self._idle.wait()

    async def _exchange(self, context: CallContext, stream: Stream) -> None:
        del context
        await serve_exchange(stream, self._predict, max_outstanding=self._max_calls)

    async def _predict(self, incoming: Incoming) -> bytes:
        request = read_predict(incoming.payload)
        what = ServableVersion(request.servable, _read_version(incoming.head))
        serving, plan = self._find(what, request.method)
        outcome = "Cancelled"
        try:
            self._accept()
            self._count(serving, +1)
            try:
                reply, outcome = await self._answer(serving, plan, request, incoming)
                return reply
            finally:
                self._count(serving, -1)
        except ServingError as failure:
            outcome = type(failure).__name__
            raise
        finally:
            self._count_outcome(what.servable, request.method, outcome)

    def _count_outcome(self, servable: str, method: str, outcome: str) -> None:
        labels = (servable, method, outcome)
        counter = self._answered.get(labels)
        if counter is None:
            # Finding a counter by its labels costs more than counting.
            counter = self._answered[labels] = self._metrics.requests.labels(*labels)
        counter.inc()

    def _find(self, what: ServableVersion, method_name: str) -> tuple[Serving, MethodPlan]:
        serving = self._servings.find(what)
        if serving is None or not serving.ready:
            raise Unavailable(f"{what} is not served here now")
        plan = serving.plans.get(method_name)
        if plan is None:
            raise NotServed(f"{what} has no method '{method_name}'")
        return serving, plan

    def _accept(self) -> None:
        """Raises Draining or Overloaded when there is no place for one more request."""
        if self._servings.draining:
            raise Draining("this worker is shutting down")
        if self._outstanding >= self._max_calls:
            raise Overloaded(f"{self._max_calls} requests are in progress already")

    def _count(self, serving: Serving, by: int) -> None:
        serving.count(by)
        self._outstanding += by
        if not self._outstanding:
            self._idle.set()
        elif self._outstanding == by:
            self._idle.clear()

    async def _answer(
        self, serving: Serving, plan: MethodPlan, request: PredictMessage, incoming: Incoming
    ) -> tuple[bytes, str]:
        what, method = serving.what, plan.method
        instances = request.instances(method)
        outcomes = await self._runner.run(what, plan, serving.models, instances, incoming.deadline)
        failures = [each for each in outcomes if isinstance(each, ServingError)]
        if failures:
            log.info(
                "instances failed",
                request_id=incoming.request_id,
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


def _read_version(head: bytes) -> int:
    try:
        return dispatch_pb2.DispatchHead.FromString(head).version
    except DecodeError as failure:
        raise InvalidRequest("not a DispatchHead") from failure
