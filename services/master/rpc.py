"""What clients call: ``MSService.Predict`` in the original's contract."""

import asyncio

import structlog
from prometheus_client import Counter

from services.master.admission import Admission
from services.master.dispatcher import Dispatcher
from services.master.metrics import Metrics
from services.master.spec import Spec, read_spec
from shared.deadline import Deadline
from shared.errors import REAL_STATUSES, ServingError
from shared.wire.interface import CallContext, Routes
from shared.wire.predict_codec import write_failure
from shared.wire.predict_service import PREDICT_PATH, RequestIds

log = structlog.get_logger()


class FrontDoor:
    """Admits, reads the spec, dispatches, and answers failures as clients expect."""

    def __init__(
        self,
        admission: Admission,
        dispatcher: Dispatcher,
        metrics: Metrics,
        *,
        request_timeout_seconds: float,
    ) -> None:
        self._now = asyncio.get_running_loop().time
        self._admission = admission
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._request_timeout_seconds = request_timeout_seconds
        self._request_ids = RequestIds()
        self._answered: dict[str, Counter] = {}

    @property
    def routes(self) -> Routes:
        """Serve these to clients."""
        return Routes(unary={PREDICT_PATH: self.predict})

    async def predict(self, context: CallContext, message: bytes) -> bytes:
        """One request: a PredictReply, or an error that is a real status."""
        started = self._now()
        outcome = "Cancelled"
        try:
            with self._admission:
                reply = await self._predict(context, message)
            outcome = "ok"
            return reply
        except _Answered as answered:
            spec, outcome = answered.spec, type(answered.failure).__name__
            return write_failure(spec.servable, spec.method, spec.version, answered.failure)
        except Exception as failure:
            outcome = type(failure).__name__
            raise
        finally:
            self._count(outcome)
            self._metrics.seconds.observe(self._now() - started)

    def _count(self, outcome: str) -> None:
        counter = self._answered.get(outcome)
        if counter is None:
            counter = self._answered[outcome] = self._metrics.requests.labels(outcome)
        counter.inc()

    async def _predict(self, context: CallContext, message: bytes) -> bytes:
        request_id = self._request_ids.of(context.metadata)
        deadline = context.deadline or Deadline.after(
            self._request_timeout_seconds, now=self._now()
        )
        spec = Spec()
        try:
            spec = read_spec(message)
            return await self._dispatcher.dispatch(
                spec, message, deadline=deadline, request_id=request_id
            )
        except REAL_STATUSES as failure:
            _log_failure(spec, failure, request_id)
            raise
        except ServingError as failure:
            _log_failure(spec, failure, request_id)
            raise _Answered(spec, failure) from failure


class _Answered(Exception):
    """A failure that is answered with status OK and an error message."""

    def __init__(self, spec: Spec, failure: ServingError) -> None:
        super().__init__(failure.message)
        self.spec = spec
        self.failure = failure


def _log_failure(spec: Spec, failure: ServingError, request_id: str) -> None:
    log.info(
        "request failed",
        request_id=request_id,
        servable=spec.servable,
        method=spec.method,
        version=spec.version,
        error=type(failure).__name__,
        reason=failure.message,
    )
