"""Server reflection: what services there are, for tools that ask.

Source: https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
"""

from collections.abc import Sequence

from grpc_reflection.v1alpha import reflection, reflection_pb2

from shared.wire.interface import CallContext, Routes, Stream

SERVICE_NAME: str = reflection.SERVICE_NAME
_PATH = f"/{SERVICE_NAME}/ServerReflectionInfo"


def reflection_routes(services: Sequence[str]) -> Routes:
    """Describe protobuf services by their full names."""
    servicer = reflection.ReflectionServicer([*services, SERVICE_NAME])

    async def info(_: CallContext, stream: Stream) -> None:
        async for message in stream:
            request = reflection_pb2.ServerReflectionRequest.FromString(message)
            for response in servicer.ServerReflectionInfo(iter([request]), None):
                await stream.send(response.SerializeToString())

    return Routes(streams={_PATH: info})
