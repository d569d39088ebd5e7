"""Sends a request to a worker, undecoded; to another one when it was not begun."""

import uuid

from protos.serving.v1 import dispatch_pb2
from services.master.router import Router
from services.master.spec import Spec
from services.master.workers import Workers
from shared.deadline import Deadline
from shared.errors import Refused, Unavailable


class Dispatcher:
    """Forwards requests; never sends one twice that may have begun."""

    def __init__(self, router: Router, workers: Workers) -> None:
        self._router = router
        self._workers = workers

    async def dispatch(
        self, spec: Spec, request: bytes, deadline: Deadline, request_id: str
    ) -> bytes:
        """The worker's PredictReply; raises the ServingError that ends the request."""
        refused: set[str] = set()
        refusal: Refused | None = None
        request_id = request_id or uuid.uuid4().hex[:16]
        while True:
            try:
                worker, version = self._router.choose(spec, self._workers.outstanding, refused)
            except Unavailable:
                if refusal is not None:
                    raise refusal from None
                raise
            message = dispatch_pb2.DispatchedPredict(predict_request=request, version=version)
            try:
                return await self._workers.exchange(worker).call(
                    message.SerializeToString(), deadline=deadline, request_id=request_id
                )
            except Refused as failure:
                refused.add(worker)
                refusal = failure
