"""What clients call who balance by themselves: ``MSService.Predict``, past every master."""

import asyncio

import structlog

from services.worker.requests import Requests
from services.worker.servings import Servings
from shared.deadline import Deadline
from shared.errors import REAL_STATUSES, InvalidRequest, ServingError
from shared.wire.interface import CallContext, Routes
from shared.wire.predict_codec import PredictMessage, read_predict, write_failure
from shared.wire.predict_service import PREDICT_PATH, VERSION_LABEL_KEY, RequestIds

log = structlog.get_logger()


class ClientDoor:
    """Answers as a master does, from this worker's servable versions alone."""

    def __init__(
        self, requests: Requests, servings: Servings, *, request_timeout_seconds: float
    ) -> None:
        self._requests = requests
        self._servings = servings
        self._request_timeout_seconds = request_timeout_seconds
        self._now = asyncio.get_running_loop().time
        self._request_ids = RequestIds()

    @property
    def routes(self) -> Routes:
        """Serve these to clients."""
        return Routes(unary={PREDICT_PATH: self.predict})

    async def predict(self, context: CallContext, message: bytes) -> bytes:
        """One request: a PredictReply, or an error that is a real status."""
        request_id = self._request_ids.of(context.metadata)
        deadline = context.deadline
        if deadline is None:
            deadline = Deadline.after(self._request_timeout_seconds, now=self._now())
        request = PredictMessage()
        try:
            request = read_predict(message)
            if VERSION_LABEL_KEY in context.metadata:
                raise InvalidRequest(
                    f"{VERSION_LABEL_KEY}: a worker knows no labels, call a master or a version"
                )
            version = self._servings.resolve(request.servable, request.method, request.version)
            return await self._requests.predict(request, version, deadline, request_id)
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
