"""The front door: MSService in the original's error protocol."""

import asyncio

from protos.ms_service import ms_service_pb2
from services.master.admission import Admission
from services.master.dispatcher import Dispatcher
from services.master.metrics import MasterMetrics
from services.master.spec import Spec, read_spec
from shared.deadline import Deadline
from shared.errors import ExecutionFailed, InvalidRequest, LoadFailed, ServingError, StageFailed
from shared.wire.interface import CallContext, Routes

SERVICE_NAME = ms_service_pb2.DESCRIPTOR.services_by_name["MSService"].full_name
PREDICT_PATH = f"/{SERVICE_NAME}/Predict"

# These are answers to the caller's own request; all others are gRPC statuses.
_IN_THE_REPLY = (InvalidRequest, StageFailed, ExecutionFailed, LoadFailed)
_FAILED, _INVALID_INPUTS = 1, 2


class FrontDoor:
    """Converts, calls, converts."""

    def __init__(
        self,
        admission: Admission,
        dispatcher: Dispatcher,
        metrics: MasterMetrics,
        timeout_seconds: float,
    ) -> None:
        self._admission = admission
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._timeout_seconds = timeout_seconds

    @property
    def routes(self) -> Routes:
        """Serve these to clients."""
        return Routes({PREDICT_PATH: self.predict})

    async def predict(self, context: CallContext, message: bytes) -> bytes:
        """One PredictRequest to one PredictReply."""
        spec = Spec("", "", 0)
        try:
            with self._metrics.seconds.time(), self._admission.admit():
                spec = read_spec(message)
                now = asyncio.get_running_loop().time()
                deadline = context.deadline or Deadline.after(self._timeout_seconds, now=now)
                request_id = context.metadata.get("x-request-id", "")
                return await self._dispatcher.dispatch(spec, message, deadline, request_id)
        except ServingError as failure:
            self._metrics.failures.labels(type(failure).__name__).inc()
            if isinstance(failure, _IN_THE_REPLY):
                return _failed(spec, failure)
            raise


def _failed(spec: Spec, failure: ServingError) -> bytes:
    code = _INVALID_INPUTS if isinstance(failure, InvalidRequest) else _FAILED
    return ms_service_pb2.PredictReply(
        servable_spec=ms_service_pb2.ServableSpec(
            name=spec.servable, method_name=spec.method, version_number=spec.version
        ),
        error_msg=[ms_service_pb2.ErrorMsg(error_code=code, error_msg=failure.message.encode())],
    ).SerializeToString()
