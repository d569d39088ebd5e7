"""Starts a device process, watches it, starts it again when it ends."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import structlog

from services.agent.device.channel import describe, placed_in
from services.agent.device.child import Child, spawn
from services.agent.device.work import Done, SharedInputs, Work
from shared.errors import AgentLost, DeviceHung, Overloaded, Unavailable, rebuild
from shared.membership import Assigned, Device, Holding, ModelSignature, SubgraphSignature
from shared.tensors import ElementType, TensorSpec

log = structlog.get_logger()

# Each start in a row waits twice as long, until a process has lived for a while.
_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 0.1, 30.0
_STABLE_SECONDS = 10.0
_MAX_LINE = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a device process may take."""

    hang_seconds: float
    load_seconds: float
    onednn_max_cpu_isa: str


class Supervisor:
    """One servable version on one device: at most one living device process."""

    def __init__(
        self, assigned: Assigned, device: Device, limits: Limits, changed: Callable[[], None]
    ) -> None:
        self.holding = Holding(assigned.what, "loading")
        self._assigned = assigned
        self._device = device
        self._limits = limits
        self._changed = changed
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._process: Child | None = None

    async def execute(self, work: Work) -> Done:
        """Run one batch.

        Raises Overloaded, Unavailable or MemoryNotShared (not begun), AgentLost or
        DeviceHung (may have run), or what the backend says.
        """
        if self._waiting >= _MAX_LINE:
            raise Overloaded(f"{_MAX_LINE} batches wait for this device already")
        self._waiting += 1
        try:
            async with self._turn:
                process = self._process
                if process is None or self.holding.state != "ready":
                    raise Unavailable(f"{self._assigned.what} is not loaded here now")
                # A batch once begun is finished even if its caller leaves: the
                # next one would otherwise read its answer.
                running = asyncio.ensure_future(self._execute(process, work))
                try:
                    return await asyncio.shield(running)
                except asyncio.CancelledError:
                    await asyncio.wait([running])
                    raise
        finally:
            self._waiting -= 1

    async def _execute(self, process: Child, work: Work) -> Done:
        try:
            async with asyncio.timeout(self._limits.hang_seconds):
                answer = await process.ask(_message(process, work))
        except TimeoutError:
            process.kill()
            limit = self._limits.hang_seconds
            raise DeviceHung(f"the device process did not finish in {limit} s: {work}") from None
        except (EOFError, OSError):
            raise AgentLost(f"the device process ended ({await process.cause()}): {work}") from None
        if "error" in answer:
            raise rebuild(answer["error"], answer["message"])
        placed, seconds = placed_in(answer["outputs"]), float(answer["device_seconds"])
        if isinstance(work.inputs, SharedInputs):
            return Done(placed, seconds)
        return Done([output.copy() for output in process.arena.read(placed)], seconds)

    async def run(self) -> None:
        """Keep a device process alive until cancelled."""
        loop = asyncio.get_running_loop()
        retry = _FIRST_RETRY_SECONDS
        while True:
            async with spawn(self._limits.onednn_max_cpu_isa) as process:
                if await self._load(process):
                    loaded_at = loop.time()
                    self._process = process
                    cause = await process.cause()
                    self._process = None
                    if loop.time() - loaded_at > _STABLE_SECONDS:
                        retry = _FIRST_RETRY_SECONDS
                    self._become("loading", f"the device process ended ({cause})")
            await asyncio.sleep(retry)
            retry = min(2 * retry, _LONGEST_RETRY_SECONDS)

    async def _load(self, process: Child) -> bool:
        message = {
            "device": asdict(self._device),
            "models": [asdict(files) for files in self._assigned.models],
        }
        try:
            async with asyncio.timeout(self._limits.load_seconds):
                answer = await process.ask(message, lambda text: self._become("loading", text))
        except TimeoutError:
            self._become("failed", f"loading took longer than {self._limits.load_seconds} s")
            return False
        except (EOFError, OSError):
            cause = await process.cause()
            self._become("failed", f"the device process ended while loading ({cause})")
            return False
        if "error" in answer:
            self._become("failed", answer["message"])
            return False
        self.holding = replace(self.holding, models=tuple(map(_signature, answer["signatures"])))
        self._become("ready", "")
        return True

    def _become(self, state: str, detail: str) -> None:
        log.info("holding", what=str(self._assigned.what), state=state, detail=detail)
        self.holding = replace(self.holding, state=state, detail=detail)
        self._changed()


def _message(process: Child, work: Work) -> dict[str, Any]:
    region = None
    if isinstance(work.inputs, SharedInputs):
        shared = work.inputs
        region = asdict(shared.region) | {"nonce": shared.region.nonce.hex()}
        placed, end = shared.placed, shared.output_offset
    else:
        placed, end = process.arena.write(work.inputs)
    return {
        "model": work.model,
        "subgraph": work.subgraph,
        "rows": work.rows,
        "region": region,
        "inputs": describe(placed),
        "end": end,
    }


def _signature(described: dict[str, Any]) -> ModelSignature:
    def specs(many: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(d["name"], ElementType(d["element_type"]), tuple(d["dims"])) for d in many
        )

    subgraphs = tuple(
        SubgraphSignature(specs(each["inputs"]), specs(each["outputs"]))
        for each in described["subgraphs"]
    )
    return ModelSignature(described["key"], subgraphs, described["batch_size"])
