"""What every door does with a request: admit, route, count, log."""

import asyncio
import time

import structlog

from services.master.admission import Admission
from services.master.dispatcher import Dispatcher
from services.master.metrics import Metrics
from services.master.spec import Spec, read_spec
from shared.deadline import Deadline
from shared.errors import Refused, ServingError
from shared.tallies import Counter
from shared.urgency import Urgency

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
        max_request_timeout_seconds: float = 0.0,
    ) -> None:
        self._now = asyncio.get_running_loop().time
        self._admission = admission
        self._dispatcher = dispatcher
        self._metrics = metrics
        longest = max_request_timeout_seconds or request_timeout_seconds
        self._request_timeout_seconds = min(request_timeout_seconds, longest)
        self._max_request_timeout_seconds = max_request_timeout_seconds
        self._answered: dict[str, Counter] = {}

    def deadline(self, seconds: float) -> Deadline:
        """When a request that came now, and may take so long, must be answered."""
        return Deadline.after(seconds, now=self._now())

    def urgency(self, asked: Deadline | None, priority: int) -> Urgency:
        """How urgent a request is that came now; ``asked`` is the deadline that its client set.

        Without one it gets the time that settings say, and with one no more than they allow.
        """
        if asked is None:
            deadline = self.deadline(self._request_timeout_seconds)
            return Urgency(deadline, priority, is_default=True)
        if self._max_request_timeout_seconds:
            asked = min(asked, self.deadline(self._max_request_timeout_seconds))
        return Urgency(asked, priority)

    def check_room(self) -> None:
        """Say no before work is done for a request; raises Overloaded or Draining."""
        self._admission.check()

    async def answer(
        self, message: bytes, urgency: Urgency, request_id: str, label: str = ""
    ) -> bytes:
        """The serialized PredictReply to a serialized PredictRequest; raises ServingError.

        ``label`` is the version label that the caller named beside the message.
        """
        # The event loop's own clock has steps of a millisecond.
        began = time.perf_counter()
        outcome = "Cancelled"
        try:
            with self._admission:
                reply = await self._dispatch(message, urgency, request_id, label)
            outcome = "ok"
            return reply
        except Exception as failure:
            outcome = type(failure).__name__
            raise
        finally:
            self._count(outcome)
            self._metrics.seconds.observe(time.perf_counter() - began)

    def refused(self, spec: Spec, failure: ServingError, request_id: str) -> None:
        """Count and log a request that its door turned away."""
        self._count(type(failure).__name__)
        if not isinstance(failure, Refused):
            # A master that is full has better things to do than to write about each.
            _log_failure(spec, failure, request_id)

    async def _dispatch(
        self, message: bytes, urgency: Urgency, request_id: str, label: str
    ) -> bytes:
        spec = Spec()
        try:
            spec = read_spec(message)
            if label:
                spec = spec._replace(label=label)
            return await self._dispatcher.dispatch(
                spec, message, urgency=urgency, request_id=request_id
            )
        except ServingError as failure:
            _log_failure(spec, failure, request_id)
            raise

    def _count(self, outcome: str) -> None:
        counter = self._answered.get(outcome)
        if counter is None:
            counter = self._answered[outcome] = self._metrics.requests.of(outcome)
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
