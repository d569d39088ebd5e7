"""What masters call: requests as their clients sent them, many on one stream."""

from functools import lru_cache

from google.protobuf.message import DecodeError

from protos.serving.v1 import dispatch_pb2
from services.worker.requests import Requests
from shared.errors import InvalidRequest
from shared.urgency import Urgency
from shared.wire.exchange_server import Incoming, serve_exchange
from shared.wire.interface import CallContext, Routes, Stream
from shared.wire.predict_codec import read_predict

_read_head = lru_cache(dispatch_pb2.DispatchHead.FromString)
"""Most requests have the same head."""
DISPATCH_PATH = "/mindserve.serving.v1.Dispatch/Exchange"


class DispatchDoor:
    """Reads requests and passes on their answers."""

    def __init__(self, requests: Requests, *, max_calls: int) -> None:
        self._requests = requests
        self._max_calls = max_calls

    @property
    def routes(self) -> Routes:
        """Serve these to masters."""
        return Routes(streams={DISPATCH_PATH: self._exchange})

    async def _exchange(self, context: CallContext, stream: Stream) -> None:
        await serve_exchange(
            stream,
            self._predict,
            max_outstanding=self._max_calls,
            peer_host=context.peer_host,
        )

    async def _predict(self, incoming: Incoming) -> bytes:
        try:
            head = _read_head(incoming.head)
        except DecodeError as failure:
            raise InvalidRequest("not a DispatchHead") from failure
        # The master ends the call at its deadline.
        urgency = Urgency(incoming.deadline, head.priority, head.default_timeout)
        request = read_predict(incoming.payload)
        return await self._requests.predict(request, head.version, urgency, incoming.request_id)
