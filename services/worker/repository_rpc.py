"""What masters pass on from operators: which versions there are, load one, unload one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from services.worker.rollout import Rollout
from shared.deadline import Deadline
from shared.errors import DeadlineExceeded
from shared.repository import Order, VersionStatus
from shared.wire.interface import CallContext, Routes
from shared.wire.repository_codec import (
    INDEX_PATH,
    LOAD_PATH,
    UNLOAD_PATH,
    read_index_request,
    read_order,
    write_inventory,
)

# For a caller that says nothing of its own patience.
_LONGEST_SECONDS = 3600.0


class RepositoryDoor:
    """Reads orders and writes what came of them."""

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout

    @property
    def routes(self) -> Routes:
        """Serve these to masters."""
        return Routes(
            unary={INDEX_PATH: self._index, LOAD_PATH: self._load, UNLOAD_PATH: self._unload}
        )

    async def _index(self, context: CallContext, message: bytes) -> bytes:
        del context
        asked = read_index_request(message)
        versions = await self._rollout.index()
        return write_inventory([each for each in versions if asked in ("", each.what.servable)])

    async def _load(self, context: CallContext, message: bytes) -> bytes:
        return await _answer(self._rollout.load, context, message)

    async def _unload(self, context: CallContext, message: bytes) -> bytes:
        return await _answer(self._rollout.unload, context, message)


async def _answer(
    act: Callable[[Order], Awaitable[Sequence[VersionStatus]]], context: CallContext, message: bytes
) -> bytes:
    order = read_order(message)
    now = asyncio.get_running_loop().time()
    until = context.deadline or Deadline.after(_LONGEST_SECONDS, now=now)
    try:
        async with asyncio.timeout_at(until.at):
            return write_inventory(await act(order))
    except TimeoutError:
        raise DeadlineExceeded(f"{order}: not done in time, it goes on") from None
