"""What masters pass on from operators: which versions there are, load one, unload one."""

from collections.abc import Awaitable, Callable, Sequence

from services.worker.rollout import Rollout
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
        del context
        return await _answer(self._rollout.load, message)

    async def _unload(self, context: CallContext, message: bytes) -> bytes:
        del context
        return await _answer(self._rollout.unload, message)


async def _answer(
    act: Callable[[Order], Awaitable[Sequence[VersionStatus]]], message: bytes
) -> bytes:
    return write_inventory(await act(read_order(message)))
