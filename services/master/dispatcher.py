"""Forwards a request, undecoded, to the worker that the router chooses."""

from functools import lru_cache

from protos.serving.v1 import dispatch_pb2
from services.master.metrics import Metrics
from services.master.router import Choice, Router
from services.master.spec import Spec
from services.master.workers import Workers
from shared.errors import Refused, Unavailable
from shared.urgency import Urgency


@lru_cache
def _head(version: int, priority: int, is_default: bool) -> bytes:
    return dispatch_pb2.DispatchHead(
        version=version, priority=priority, default_timeout=is_default
    ).SerializeToString()


class Dispatcher:
    """Acts on the router's choices."""

    def __init__(self, router: Router, workers: Workers, metrics: Metrics) -> None:
        self._router = router
        self._workers = workers
        self._metrics = metrics

    async def dispatch(
        self, spec: Spec, message: bytes, *, urgency: Urgency, request_id: str
    ) -> bytes:
        """The serialized PredictReply of the worker that took ``message``.

        A worker that refuses has not begun, so another is tried; any other
        failure is final, because the request may have run.
        """
        refused_by: set[Choice] = set()
        refusal: Refused | None = None
        while True:
            choice = self._choose(spec, refused_by, refusal)
            if refused_by:
                self._metrics.redispatched.inc()
            try:
                head = _head(choice.version, urgency.priority, urgency.is_default)
                return await self._workers.call(
                    choice.worker, message, head=head, deadline=urgency.deadline,
                    request_id=request_id,
                )  # fmt: skip
            except Refused as failure:
                refusal = failure
                refused_by.add(choice)

    def _choose(self, spec: Spec, refused_by: set[Choice], refusal: Refused | None) -> Choice:
        try:
            return self._router.choose(spec, self._workers.outstanding, refused_by)
        except Unavailable as nobody:
            # When workers were asked, the last one's own reason says more.
            raise refusal or nobody from None
