"""What clients call: ``MSService.Predict`` in the original's contract."""

from services.master.requests import Requests
from services.master.spec import Spec, read_spec
from shared.errors import REAL_STATUSES, InvalidRequest, ServingError
from shared.urgency import Urgency
from shared.wire.interface import CallContext, Routes
from shared.wire.predict_codec import write_failure
from shared.wire.predict_service import PREDICT_PATH, VERSION_LABEL_KEY, RequestIds, priority_of


class FrontDoor:
    """Passes requests on, and answers failures as clients expect."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._request_ids = RequestIds()

    @property
    def routes(self) -> Routes:
        """Serve these to clients."""
        return Routes(unary={PREDICT_PATH: self.predict})

    async def predict(self, context: CallContext, message: bytes) -> bytes:
        """One request: a PredictReply, or an error that is a real status."""
        request_id = self._request_ids.of(context.metadata)
        try:
            urgency = self._urgency_of(context, message, request_id)
            label = context.metadata.get(VERSION_LABEL_KEY, "")
            return await self._requests.answer(message, urgency, request_id, label)
        except REAL_STATUSES:
            raise
        except ServingError as failure:
            spec = _spec_of(message)
            return write_failure(spec.servable, spec.method, spec.version, failure)

    def _urgency_of(self, context: CallContext, message: bytes, request_id: str) -> Urgency:
        try:
            priority = priority_of(context.metadata)
        except InvalidRequest as failure:
            self._requests.refused(_spec_of(message), failure, request_id)
            raise
        return self._requests.urgency(context.deadline, priority)


def _spec_of(message: bytes) -> Spec:
    try:
        return read_spec(message)
    except InvalidRequest:
        return Spec()
