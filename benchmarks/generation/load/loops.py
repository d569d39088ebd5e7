"""Sends what an order says, and waits for every answer."""

import asyncio
import time
from collections.abc import Callable, Mapping
from itertools import count, cycle, islice

from benchmarks.generation.load.answer import Answer, Answered
from benchmarks.generation.load.connection import BrokenAnswer, Poster
from benchmarks.generation.load.order import Asked, Order, Target
from benchmarks.open_loop.alarm import alarm

Progress = Callable[[int], None]
"""Hears how many answers are there."""


class Load:
    """The requests of one order; ``headers`` go with each, for instance a key."""

    def __init__(
        self, order: Order, headers: Mapping[str, str], progress: Progress = lambda _: None
    ) -> None:
        self._order = order
        self._poster = Poster(Target.parse(order.url), order.path, headers)
        self._progress = progress
        self._ended = count(1)

    async def warm_up(self) -> None:
        """One request after another, whose answers nobody looks at."""
        for asked in islice(cycle(self._order.asked), self._order.warm_requests):
            await self._follow(asked, time.monotonic())
        self._ended = count(1)

    async def run(self) -> list[Answered]:
        """Every request's answer, in the order in which they were sent."""
        return await (self._closed() if self._order.concurrency else self._open())

    async def _closed(self) -> list[Answered]:
        """As many at once as were asked for; the next one leaves when one has ended."""
        waiting = enumerate(islice(cycle(self._order.asked), self._order.requests))
        answers: dict[int, Answered] = {}

        async def caller() -> None:
            for number, asked in waiting:
                answers[number] = await self._follow(asked, time.monotonic())

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._order.concurrency, self._order.requests)):
                group.create_task(caller())
        return [answers[number] for number in sorted(answers)]

    async def _open(self) -> list[Answered]:
        """Each at its moment, whether earlier ones were answered or not."""
        tasks = []
        with alarm() as clock:
            began = time.monotonic() + 0.05
            async with asyncio.TaskGroup() as group:
                for asked, arrival in zip(
                    cycle(self._order.asked), self._order.arrivals(), strict=False
                ):
                    await clock.sleep_until(began + arrival)
                    tasks.append(group.create_task(self._follow(asked, began + arrival)))
        return [task.result() for task in tasks]

    async def _follow(self, asked: Asked, moment: float) -> Answered:
        """One request that was meant to leave at ``moment`` of ``time.monotonic()``."""
        answer = Answer(asked, moment, must_reach_length=self._order.must_reach_length)
        body = self._order.body(asked)
        answer.late = time.monotonic() - moment
        failure = ""
        try:
            left = moment + self._order.timeout_seconds - time.monotonic()
            async with asyncio.timeout(left):
                await self._poster.post(body, answer)
        except TimeoutError:
            failure = f"no end within {self._order.timeout_seconds:g} s"
        except (BrokenAnswer, OSError) as broken:
            failure = f"{type(broken).__name__}: {broken}"[:160]
        self._progress(next(self._ended))
        return answer.end(time.monotonic(), failure)
