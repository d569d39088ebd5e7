"""What every door does with a request: admit, route, count, log."""

import asyncio

import structlog
from prometheus_client import Counter

from services.master.admission import Admission
from services.master.dispatcher import Dispatcher
from services.master.metrics import Metrics
from services.master.spec import Spec, read_spec
from shared.deadline import Deadline
from shared.errors import Refused, ServingError

log = structlog.get_logger()


class Requests:
    """Answers requests; the doors only translate."""

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
        self._answered: dict[str, Counter] = {}

    def deadline(self, seconds: float | None = None) -> Deadline:
        """When a request that came now must be answered; without ``seconds``, as settings say."""
        seconds = self._request_timeout_seconds if seconds is None else seconds
        return Deadline.after(seconds, now=self._now())

    def check_room(self) -> None:
        """Say no before work is done for a request; raises Overloaded or Draining."""
        self._admission.check()

    async def answer(
        self, message: bytes, deadline: Deadline | None, request_id: str, label: str = ""
    ) -> bytes:
        """The serialized PredictReply to a serialized PredictRequest; raises ServingError.

        ``label`` is the version label that the caller named beside the message.
        """
        started = self._now()
        outcome = "Cancelled"
        try:
            with self._admission:
                reply = await self._dispatch(
                    message, deadline or self.deadline(), request_id, label
                )
            outcome = "ok"
            return reply
        except Exception as failure:
            outcome = type(failure).__name__
            raise
        finally:
            self._count(outcome)
            self._metrics.seconds.observe(self._now() - started)

    def refused(self, spec: Spec, failure: ServingError, request_id: str) -> None:
        """Count and log a request that its door turned away."""
        self._count(type(failure).__name__)
        if not isinstance(failure, Refused):
            # A master that is full has better things to do than to write about each.
            _log_failure(spec, failure, request_id)

    async def _dispatch(
        self, message: bytes, deadline: Deadline, request_id: str, label: str
    ) -> bytes:
        spec = Spec()
        try:
            spec = read_spec(message)
            if label:
                spec = spec._replace(label=label)
            return await self._dispatcher.dispatch(
                spec, message, deadline=deadline, request_id=request_id
            )
        except ServingError as failure:
            _log_failure(spec, failure, request_id)
            raise

    def _count(self, outcome: str) -> None:
        counter = self._answered.get(outcome)
        if counter is None:
            counter = self._answered[outcome] = self._metrics.requests.labels(outcome)
        counter.inc()


def _log_failure(spec: Spec, failure: ServingError, request_id: str) -> None:
    log.info(
        "request failed",
        request_id=request_id,
        servable=spec.servable,
        method=spec.method,
        version=spec.label or spec.version,
        error=type(failure).__name__,
        reason=failure.message,
    )
