"""``python -m benchmarks.open_loop ORDER.json BODY``: one open loop; its summary as JSON."""

import asyncio
import gc
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from itertools import cycle
from pathlib import Path

import uvloop

from benchmarks.open_loop.alarm import alarm
from benchmarks.open_loop.http1 import HttpSender
from benchmarks.open_loop.order import WARM_REQUESTS, WARM_SECONDS, Order
from benchmarks.open_loop.schedule import Outcome, Summary, poisson
from shared.errors import ServingError
from shared.wire.native import NativeWire

ANSWER_SECONDS = 10.0
FAILURES = (ServingError, OSError, TimeoutError)
Send = Callable[[], Awaitable[bool]]


@asynccontextmanager
async def sender(order: Order, body: bytes) -> AsyncIterator[Send]:
    """What sends one request and tells whether it was answered right."""
    if not order.is_grpc:
        http = HttpSender(
            order.port, order.path, order.content_type, body, order.answer_bytes, order.connections
        )
        try:
            yield http.send
        finally:
            http.close()
        return
    async with AsyncExitStack() as stack:
        channels = cycle(
            [
                await stack.enter_async_context(NativeWire().connect(f"127.0.0.1:{order.port}"))
                for _ in range(order.connections)
            ]
        )

        async def send() -> bool:
            answer = await next(channels).call(order.path, body)
            return len(answer) == order.answer_bytes

        yield send


async def follow(send: Send, moment: float) -> Outcome:
    """One request that was meant to leave at ``moment`` of ``time.monotonic()``."""
    late = time.monotonic() - moment
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            is_right = await send()
    except FAILURES:
        is_right = False
    return Outcome(late, time.monotonic() - moment, is_right)


async def run(order: Order, body: bytes) -> Summary:
    async with sender(order, body) as send:
        warmed, until = 0, time.monotonic() + WARM_SECONDS
        while not warmed or (warmed < WARM_REQUESTS and time.monotonic() < until):
            await follow(send, time.monotonic())
            warmed += 1
        began = time.monotonic() + 0.05
        with alarm() as clock:
            async with asyncio.TaskGroup() as group:
                tasks = []
                for offset in poisson(order.rate, order.seconds, order.seed):
                    await clock.sleep_until(began + offset)
                    tasks.append(group.create_task(follow(send, began + offset)))
        return Summary.of((task.result() for task in tasks), warmed)


if __name__ == "__main__":
    gc.disable()
    order = Order(**json.loads(Path(sys.argv[1]).read_text()))
    print(json.dumps(asdict(uvloop.run(run(order, Path(sys.argv[2]).read_bytes())))))
