"""``grpc.health.v1``: Check and Watch on a HealthBoard.

Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from grpc_health.v1 import health_pb2

from shared.errors import NotServed
from shared.health import HealthBoard
from shared.wire.interface import CallContext, Routes, Stream

SERVICE_NAME = "grpc.health.v1.Health"
CHECK_PATH = f"/{SERVICE_NAME}/Check"
_WATCH_PATH = f"/{SERVICE_NAME}/Watch"


def health_routes(board: HealthBoard) -> Routes:
    """Serve ``board``: an unknown name is NOT_FOUND on Check, SERVICE_UNKNOWN on Watch."""

    async def check(_: CallContext, message: bytes) -> bytes:
        name = health_pb2.HealthCheckRequest.FromString(message).service
        serving = board.get(name)
        if serving is None:
            raise NotServed(f"health of unknown service '{name}'")
        return _response(serving)

    async def watch(_: CallContext, stream: Stream) -> None:
        async for message in stream:
            name = health_pb2.HealthCheckRequest.FromString(message).service
            async for serving in board.watch(name):
                await stream.send(_response(serving))

    return Routes({CHECK_PATH: check}, {_WATCH_PATH: watch})


def _response(serving: bool | None) -> bytes:
    kinds = health_pb2.HealthCheckResponse
    status = kinds.SERVICE_UNKNOWN if serving is None else kinds.SERVING
    if serving is False:
        status = kinds.NOT_SERVING
    message: bytes = kinds(status=status).SerializeToString()
    return message


def check_request(name: str) -> bytes:
    """The message that asks for the health of ``name``."""
    message: bytes = health_pb2.HealthCheckRequest(service=name).SerializeToString()
    return message


def is_serving(message: bytes) -> bool:
    """Whether a Check response says that the name serves."""
    status = health_pb2.HealthCheckResponse.FromString(message).status
    return bool(status == health_pb2.HealthCheckResponse.SERVING)
