"""Real device processes behind the real supervisor, for tests of backends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from services.agent.device.channel import FAILED, LOAD
from services.agent.device.child import Child, spawn
from services.agent.device.holder import Holder
from services.agent.device.load_message import LoadMessage
from services.agent.device.supervisor import Limits
from services.agent.device.work import Done
from shared.decryption import DecryptionKey
from shared.errors import rebuild
from shared.frames import Frame
from shared.membership import Assigned, Assignment, Device, Holding, ModelFiles, ModelSignature
from shared.servable import ServableVersion
from shared.tasks import task_scope
from shared.tensors import Array
from tests.support.batches import outputs_of, work_of
from tests.support.cluster import until

CPU = Device("CPU", 0)
LIMITS = Limits(hang_seconds=60.0, load_seconds=60.0, onednn_max_cpu_isa="AVX2")
WHAT = ServableVersion("toy", 1)

Inside = TypeVar("Inside")


@asynccontextmanager
async def in_its_own_task(
    context: AbstractAsyncContextManager[Inside],
) -> AsyncIterator[Inside]:
    """Enter and leave ``context`` in one task, which pytest's fixtures do not."""
    entered: asyncio.Future[Inside] = asyncio.get_running_loop().create_future()
    leave = asyncio.Event()

    async def live() -> None:
        try:
            async with context as inside:
                entered.set_result(inside)
                await leave.wait()
        except BaseException as failure:
            if entered.done():
                raise
            entered.set_exception(failure)

    task = asyncio.create_task(live())
    try:
        yield await entered
    finally:
        leave.set()
        await task


class HeldModels:
    """Models that one device process holds."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder

    @property
    def holding(self) -> Holding:
        return self._holder.holdings().holdings[0]

    async def settled(self) -> None:
        await until(lambda: self.holding.state != "loading", what="the models to load")
        assert self.holding.state == "ready", self.holding.detail

    def signature(self, key: str) -> ModelSignature:
        return next(model for model in self.holding.models if model.key == key)

    async def execute(
        self, key: str, *inputs: Array, subgraph: int = 0, rows: int | None = None
    ) -> Done:
        count = len(inputs[0]) if rows is None else rows
        return await self._holder.execute(work_of(WHAT, key, inputs, count, subgraph=subgraph))

    async def run(
        self, key: str, *inputs: Array, subgraph: int = 0, rows: int | None = None
    ) -> list[Any]:
        done = await self.execute(key, *inputs, subgraph=subgraph, rows=rows)
        return outputs_of(done.reply)


@asynccontextmanager
async def held(*models: ModelFiles, key: DecryptionKey | None = None) -> AsyncIterator[HeldModels]:
    """``models`` in one device process, kept alive by its supervisor."""
    keys = {} if key is None else {WHAT.servable: key}
    async with task_scope() as scope:
        holder = Holder(scope, CPU, LIMITS, lambda: None, keys)
        holder.assign(Assignment((Assigned(WHAT, models),)))
        inside = HeldModels(holder)
        await inside.settled()
        yield inside


class Loader:
    """A device process that tries one model after the other."""

    def __init__(self, process: Child) -> None:
        self._process = process

    async def load(
        self, files: ModelFiles, *, key: DecryptionKey | None = None, device: Device = CPU
    ) -> Any:
        """Load it; gives the options without effect, raises what the device process answers."""
        message = LoadMessage(device, (files,), key.mode if key else "")
        frame = Frame(LOAD, message.written(), key.reveal() if key else b"")
        answer = await self._process.ask(frame, 60.0)
        told = json.loads(answer.head)
        if answer.kind == FAILED:
            raise rebuild(told["error"], told["message"])
        return told["without_effect"].get(files.key, [])


@asynccontextmanager
async def loader() -> AsyncIterator[Loader]:
    """A device process that nobody starts again when loading fails."""
    async with spawn(LIMITS.onednn_max_cpu_isa) as process:
        yield Loader(process)
