"""Callers that never rest and check what they get: some in a hurry, some who leave."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import grpc
import numpy as np
import numpy.typing as npt

from mindspore_serving.client import AsyncClient
from mindspore_serving.client.encoding import decode_reply, encode_request
from mindspore_serving.client.target import PREDICT_PATH
from protos.ms_service import ms_service_pb2 as pb
from shared.deadline import Deadline
from shared.errors import ServingError
from shared.wire import status
from shared.wire.native import NativeWire
from tests.support.cluster import until

WIDTH = 2048
# With WIDTH, eight rows are as much as travels in shared memory.
ROWS = (1, 1, 2, 8)
DEADLINES = (0.1, 0.5, 2.0)
LEAVING = 0.2
# A late answer may be ours too: two cores hold the cluster and its callers.
GRACE_SECONDS = 2.0
# What docs/protocol.md promises of members that die or fall silent.
NAMED = {"Unavailable", "WorkerLost", "AgentLost", "DeadlineExceeded"}

Rows = list[npt.NDArray[np.float32]]
Call = Callable[[Rows, float], Awaitable[Rows]]


class Load:
    """Callers of a servable that doubles rows of WIDTH, over both stacks."""

    def __init__(self, front: str, seed: int, callers: int = 8) -> None:
        self._front = front
        self._seed = seed
        self._callers = callers
        self._stopping = False
        self._stack = AsyncExitStack()
        self.outcomes: Counter[str] = Counter()
        self.broken: list[str] = []
        """Promises that were not kept."""

    @property
    def ended(self) -> int:
        return self.outcomes.total()

    @property
    def answered(self) -> int:
        return self.outcomes["ok"]

    async def __aenter__(self) -> "Load":
        calls: list[Call] = []
        for _ in range(2):
            client = AsyncClient(self._front, "toy", "predict", raise_on_error=True)
            calls.append(_over_grpcio(await self._stack.enter_async_context(client)))
        channel = await self._stack.enter_async_context(NativeWire().connect(self._front))
        calls.append(_over_native(channel))
        self._tasks = [
            asyncio.create_task(self._caller(calls[n % len(calls)], random.Random(self._seed + n)))
            for n in range(self._callers)
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    async def stop(self) -> None:
        """End after the requests that are on their way; raises what a caller died of."""
        self._stopping = True
        async with asyncio.timeout(max(DEADLINES) + 2 * GRACE_SECONDS):
            await asyncio.gather(*self._tasks)

    async def more_answers(self, count: int) -> None:
        """Wait until ``count`` more requests were answered well."""
        goal = self.answered + count
        await until(lambda: self.answered >= goal, seconds=30, what="answers")

    async def more_ends(self, count: int) -> None:
        """Wait until ``count`` more requests came to any end."""
        goal = self.ended + count
        await until(lambda: self.ended >= goal, seconds=30, what="requests to end")

    async def _caller(self, call: Call, dice: random.Random) -> None:
        numbers = np.random.default_rng(dice.randrange(1 << 32))
        while not self._stopping:
            rows = list(numbers.standard_normal((dice.choice(ROWS), WIDTH), np.float32))
            seconds = dice.choice(DEADLINES)
            leaves = dice.random() < LEAVING
            stays = dice.uniform(0, 0.03) if leaves else seconds + GRACE_SECONDS
            try:
                async with asyncio.timeout(stays):
                    answer = await call(rows, seconds)
            except TimeoutError:
                self.outcomes["left"] += 1
                if not leaves:
                    self.broken.append(f"no end {GRACE_SECONDS} s after a deadline of {seconds} s")
            except ServingError as failure:
                name = type(failure).__name__
                self.outcomes[name] += 1
                if name not in NAMED:
                    self.broken.append(f"{name}: {failure.message}")
            else:
                self.outcomes["ok"] += 1
                if not np.array_equal(answer, [row * 2 for row in rows]):
                    self.broken.append(f"a wrong answer to {len(rows)} rows")
            await asyncio.sleep(dice.uniform(0, 0.02))  # a caller's own work, not a wait


def _over_grpcio(client: AsyncClient) -> Call:
    async def call(rows: Rows, seconds: float) -> Rows:
        try:
            answer = await client.infer([{"x1": row} for row in rows], timeout=seconds)
        except grpc.aio.AioRpcError as failure:
            name = dict(failure.trailing_metadata() or ()).get(status.ERROR_NAME_KEY)
            raise status.error_of(
                failure.code().value[0], failure.details() or "", name
            ) from failure
        return [each["y"] for each in answer]

    return call


def _over_native(channel) -> Call:
    async def call(rows: Rows, seconds: float) -> Rows:
        spec = pb.ServableSpec(name="toy", method_name="predict")
        request = encode_request(spec, [{"x1": row} for row in rows])
        deadline = Deadline.after(seconds, now=asyncio.get_running_loop().time())
        answer = await channel.call(PREDICT_PATH, request.SerializeToString(), deadline=deadline)
        reply = pb.PredictReply.FromString(answer)
        assert not reply.error_msg, reply.error_msg
        return [each["y"] for each in decode_reply(reply, instances_count=len(rows))]

    return call
