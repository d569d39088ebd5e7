"""What masters call: requests as their clients sent them, many on one stream."""

from google.protobuf.message import DecodeError

from protos.serving.v1 import dispatch_pb2
from services.worker.requests import Requests
from shared.errors import InvalidRequest
from shared.wire.exchange_server import Incoming, serve_exchange
from shared.wire.interface import CallContext, Routes, Stream
from shared.wire.predict_codec import read_predict

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
        return await self._requests.predict(
            read_predict(incoming.payload),
            _read_version(incoming.head),
            incoming.deadline,
            incoming.request_id,
        )


def _read_version(head: bytes) -> int:
    try:
        return dispatch_pb2.DispatchHead.FromString(head).version
    except DecodeError as failure:
        raise InvalidRequest("not a DispatchHead") from failure
