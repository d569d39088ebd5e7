"""Server reflection: what services there are, for tools that ask.

Source: https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from grpc_reflection.v1alpha import reflection_pb2

from shared.wire.interface import CallContext, Routes, Stream

SERVICE_NAME: str = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"].full_name
_PATH = f"/{SERVICE_NAME}/ServerReflectionInfo"


def reflection_routes(services: Sequence[str]) -> Routes:
    """Describe protobuf services by their full names."""
    names = [*services, SERVICE_NAME]

    async def info(_: CallContext, stream: Stream) -> None:
        servicer = await asyncio.to_thread(_servicer, names)
        async for message in stream:
            request = reflection_pb2.ServerReflectionRequest.FromString(message)
            for response in servicer.ServerReflectionInfo(iter([request]), None):
                await stream.send(response.SerializeToString())

    return Routes(streams={_PATH: info})


def _servicer(names: Sequence[str]) -> Any:
    # Here, because it brings all of grpcio, 12 MB: not before somebody asks.
    from grpc_reflection.v1alpha.reflection import ReflectionServicer  # noqa: PLC0415 (see above)

    return ReflectionServicer(names)
