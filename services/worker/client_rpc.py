"""What clients call who balance by themselves: ``MSService.Predict``, past every master."""

import asyncio

import structlog

from services.worker.requests import Requests
from services.worker.servings import Servings
from shared.errors import REAL_STATUSES, InvalidRequest, ServingError
from shared.urgency import Urgency
from shared.wire.interface import CallContext, Routes
from shared.wire.predict_codec import PredictMessage, read_predict, write_failure
from shared.wire.predict_service import PREDICT_PATH, VERSION_LABEL_KEY, RequestIds, priority_of

log = structlog.get_logger()


class ClientDoor:
    """Answers as a master does, from this worker's servable versions alone."""

    def __init__(
        self,
        requests: Requests,
        servings: Servings,
        *,
        request_timeout_seconds: float,
        max_request_timeout_seconds: float,
    ) -> None:
        self._requests = requests
        self._servings = servings
        self._request_timeout_seconds = request_timeout_seconds
        self._max_request_timeout_seconds = max_request_timeout_seconds or None
        self._now = asyncio.get_running_loop().time
        self._request_ids = RequestIds()

    @property
    def routes(self) -> Routes:
        """Serve these to clients."""
        return Routes(unary={PREDICT_PATH: self.predict})

    async def predict(self, context: CallContext, message: bytes) -> bytes:
        """One request: a PredictReply, or an error that is a real status."""
        request_id = self._request_ids.of(context.metadata)
        request = PredictMessage()
        try:
            request = read_predict(message)
            urgency = self._urgency_of(context)
            if VERSION_LABEL_KEY in context.metadata:
                raise InvalidRequest(
                    f"{VERSION_LABEL_KEY}: a worker knows no labels, call a master or a version"
                )
            version = self._servings.resolve(request.servable, request.method, request.version)
            return await self._requests.predict(request, version, urgency, request_id)
        except ServingError as failure:
            log.info(
                "request failed",
                request_id=request_id,
                servable=request.servable,
                method=request.method,
                version=request.version,
                error=type(failure).__name__,
                reason=failure.message,
            )
            if isinstance(failure, REAL_STATUSES):
                raise
            return write_failure(request.servable, request.method, request.version, failure)

    def _urgency_of(self, context: CallContext) -> Urgency:
        """What the caller asks for; a deadline of its own is kept by the wire."""
        priority, now = priority_of(context.metadata), self._now()
        if context.deadline is None:
            urgency = Urgency(None, priority, is_default=True)
            urgency = urgency.within(self._request_timeout_seconds, now=now)
        else:
            urgency = Urgency(context.deadline, priority)
        return urgency.within(self._max_request_timeout_seconds, now=now)
