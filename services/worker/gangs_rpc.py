"""What launchers of agents ask: where ranks belong, and whether a gang serves."""

import asyncio
import math

from services.worker.gangs.pool import GangPool
from services.worker.gangs.rules import RankTable
from services.worker.servings import Servings
from shared.errors import InvalidRequest, NotServed
from shared.wire.gangs_codec import (
    AWAIT_PATH,
    DESCRIBE_PATH,
    GangDescription,
    GangProgress,
    read_await_request,
    write_description,
    write_progress,
)
from shared.wire.interface import CallContext, Routes

_LONGEST_SECONDS = 60.0


class GangsDoor:
    """Answers from what is served."""

    def __init__(self, servings: Servings, table: RankTable) -> None:
        self._servings = servings
        self._table = table

    @property
    def routes(self) -> Routes:
        """Serve these to launchers."""
        return Routes(unary={DESCRIBE_PATH: self._describe, AWAIT_PATH: self._await})

    async def _describe(self, context: CallContext, message: bytes) -> bytes:
        del context, message
        pool = self._find()
        return write_description(
            GangDescription(pool.what, pool.distribution.stage_size, self._table.places)
        )

    def _find(self) -> GangPool:
        if self._servings.ranks is None:
            raise NotServed("this worker serves no distributed model")
        return self._servings.ranks

    async def _await(self, context: CallContext, message: bytes) -> bytes:
        del context
        seconds = read_await_request(message)
        if not math.isfinite(seconds) or seconds < 0:
            raise InvalidRequest(f"wait_seconds: expected a time from 0 on, got {seconds}")
        pool = self._find()
        try:
            async with asyncio.timeout(min(seconds, _LONGEST_SECONDS)):
                while not pool:
                    await self._servings.refreshed()
        except TimeoutError:
            pass
        return write_progress(GangProgress(bool(pool), pool.formation.progress))
