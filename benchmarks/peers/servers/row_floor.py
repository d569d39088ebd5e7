"""``python -m benchmarks.peers.servers.row_floor PORT LENGTH``."""

import asyncio
import functools
import json
import os
import socket
import struct
import sys
import time
from collections import deque
from typing import cast

import uvloop

from benchmarks.relay import row
from benchmarks.works import WORKS
from protos.ms_service import ms_service_pb2 as pb
from shared.wire.interface import CallContext, Routes
from shared.wire.native import NativeWire
from shared.wire.predict_service import PREDICT_PATH

LENGTH = struct.Struct("<I")
NOTHING = LENGTH.pack(0)
"""A message without content, which is answered in kind."""


class Next(asyncio.Protocol):
    """The next process of the row, which answers in the order in which it is asked."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    async def predict(self, context: CallContext, message: bytes) -> bytes:
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting.append(answer)
        self._transport.write(LENGTH.pack(len(message)) + message)
        return await answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= LENGTH.size:
            end = LENGTH.size + LENGTH.unpack_from(self._received)[0]
            if len(self._received) < end:
                break
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_result(self._received[LENGTH.size : end])
            self._received = self._received[end:]


def answer_all(answer: bytes, seconds: float, caller: socket.socket) -> None:
    """The last process: takes as long as the model, and has its answer already."""
    framed = LENGTH.pack(len(answer)) + answer
    messages = caller.makefile("rb")
    while prefix := messages.read(LENGTH.size):
        if prefix == NOTHING:
            caller.sendall(NOTHING)
            continue
        messages.read(*LENGTH.unpack(prefix))
        if seconds:
            time.sleep(seconds)
        caller.sendall(framed)


async def serve(port: int, connected: socket.socket) -> None:
    connected.setblocking(False)
    loop = asyncio.get_running_loop()
    _, following = await loop.create_unix_connection(Next, sock=connected)
    routes = Routes(unary={PREDICT_PATH: following.predict})
    async with NativeWire().serve(routes, [f"127.0.0.1:{port}"]):
        await loop.create_future()


def reply(key: str) -> bytes:
    """The right answer to every request of a work."""
    made = pb.PredictReply(servable_spec=pb.ServableSpec(name="bench", method_name="predict"))
    for each in WORKS[key].answer():
        tensor = made.instances.add().items["y"]
        tensor.dtype = pb.MS_FLOAT32
        tensor.shape.dims.append(len(each))
        tensor.data = each.tobytes()
    return made.SerializeToString()


def main(port: int, length: int) -> None:
    work = json.loads(os.environ["BENCH_WORK"])
    last = functools.partial(answer_all, reply(work["key"]), work["latency_seconds"])
    with (
        row(length - 1, last, NOTHING) as connected,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(serve(port, connected))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
