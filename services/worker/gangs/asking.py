"""Has ranks do one thing at the same time, and says how it went for all of them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import NoReturn

from shared.errors import AgentLost, DeviceHung, InvalidRequest, Refused, ServingError
from shared.tasks import task_scope

# Ranks look at the same call: where one refuses it, all do, and about at the same time.
_UNANIMOUS_SECONDS = 1.0


async def ask_ranks(
    calls: Mapping[int, Callable[[], Awaitable[bytes]]],
    *,
    seconds: float,
    over: asyncio.Future[NoReturn],
    subject: str,
) -> dict[int, bytes]:
    """Make these calls, by rank; their answers, once all have answered.

    ``over`` fails when their gang ends. Raises InvalidRequest or Refused when all ranks refused,
    and can go on then; after AgentLost, DeviceHung or ExecutionFailed, naming the rank, they are
    of no use: others wait for it in their graphs.
    """
    refusals: list[int] = []
    asked: dict[int, asyncio.Task[bytes]] = {}

    async def ask(rank: int) -> bytes:
        try:
            return await calls[rank]()
        except (InvalidRequest, Refused) as refusal:
            refusals.append(rank)
            if len(refusals) == len(calls):
                raise
            await asyncio.sleep(_UNANIMOUS_SECONDS)
            raise AgentLost(f"rank {rank} refused what others run: {refusal}") from refusal
        except ServingError as failure:
            raise type(failure)(f"rank {rank}: {failure.message}") from failure

    try:
        async with asyncio.timeout(seconds), task_scope() as scope:
            scope.spawn(_until(over), name="end of a gang")
            for rank in calls:
                asked[rank] = scope.spawn(ask(rank), name=f"call of rank {rank}")
            await asyncio.wait(asked.values())
    except TimeoutError:
        late = ", ".join(str(rank) for rank, task in asked.items() if task.cancelled())
        raise DeviceHung(f"rank {late} did not answer within {seconds:g} s: {subject}") from None
    return {rank: task.result() for rank, task in asked.items()}


async def _until(over: asyncio.Future[NoReturn]) -> NoReturn:
    # Others wait for it, too.
    await asyncio.shield(over)
