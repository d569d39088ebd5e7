"""Starts a device process, watches it, starts it again when it ends."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import structlog

from services.agent.device.channel import EXECUTE, FAILED, LOAD, SECONDS
from services.agent.device.child import Child, NotBegun, spawn
from services.agent.device.epochs import batch_refusal
from services.agent.device.load_message import LoadMessage
from services.agent.device.withdrawals import MAX_LINE
from services.agent.device.work import Done, Work
from shared.decryption import DecryptionKey
from shared.errors import (
    AgentLost,
    DeviceHung,
    LoadFailed,
    Overloaded,
    ServingError,
    Unavailable,
    rebuild,
)
from shared.frames import Frame
from shared.membership import Assigned, Device, Holding, ModelSignature, SubgraphSignature
from shared.tensors import ElementType, TensorSpec

log = structlog.get_logger()

# Each start in a row waits twice as long, until a process has lived for a while.
_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 0.1, 30.0
_STABLE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a device process may take."""

    hang_seconds: float
    load_seconds: float
    onednn_max_cpu_isa: str


class Supervisor:
    """One servable version on one device: at most one living device process."""

    def __init__(
        self,
        assigned: Assigned,
        device: Device,
        limits: Limits,
        changed: Callable[[], None],
        key: DecryptionKey | None = None,
    ) -> None:
        epoch = assigned.gang.epoch if assigned.gang else 0
        self.holding = Holding(assigned.what, "loading", epoch=epoch)
        self._assigned = assigned
        self._device = device
        self._limits = limits
        self._changed = changed
        self._key = key
        self._child: Child | None = None

    async def execute(self, work: Work) -> Done:
        """Run one batch.

        Raises Overloaded, Unavailable or MemoryNotShared (not begun), AgentLost or
        DeviceHung (may have run), or what the backend says.
        """
        gang = self._assigned.gang
        if reason := batch_refusal(work.epoch, gang):
            raise Unavailable(f"{self._assigned.what}: {reason}")
        child = self._child
        if child is None or self.holding.state != "ready":
            raise Unavailable(f"{self._assigned.what} is not loaded here now")
        process = f"the device process of rank {gang.rank}" if gang else "the device process"
        if child.waiting >= MAX_LINE:
            raise Overloaded(f"{MAX_LINE} batches wait for this device already")
        limit = self._limits.hang_seconds
        try:
            answer = await child.ask(Frame(EXECUTE, work.head, work.request), limit)
        except TimeoutError as hung:
            raise DeviceHung(f"{process} {hung}: {work}") from None
        except NotBegun:
            raise Unavailable(f"{self._assigned.what}: {process} ended") from None
        except EOFError:
            raise AgentLost(f"{process} ended ({await child.process.cause()}): {work}") from None
        if answer.kind == FAILED:
            raise _failure(answer)
        return Done(answer.payload, SECONDS.unpack(answer.head)[0])

    async def run(self) -> None:
        """Keep a device process alive until cancelled."""
        retry = _FIRST_RETRY_SECONDS
        while True:
            if await self._live("loading") > _STABLE_SECONDS:
                retry = _FIRST_RETRY_SECONDS
            await asyncio.sleep(retry)
            retry = min(2 * retry, _LONGEST_RETRY_SECONDS)

    async def _live(self, after: str, variables: Mapping[str, str] = MappingProxyType({})) -> float:
        """One device process, from its start to its end, and the state ``after`` it.

        Returns for how many seconds it was ready.
        """
        loop = asyncio.get_running_loop()
        async with spawn(self._limits.onednn_max_cpu_isa, variables) as child:
            try:
                await self._load(child)
            except LoadFailed as failure:
                self._become("failed", failure.message)
                return 0.0
            self._child, ready_at = child, loop.time()
            try:
                self._become("ready", "")
                cause = await child.end()
            finally:
                self._child = None
            self._become(after, f"the device process ended ({cause})")
            return loop.time() - ready_at

    async def _load(self, child: Child) -> None:
        """Raises LoadFailed."""
        key, mode = (self._key.reveal(), self._key.mode) if self._key else (b"", "")
        message = LoadMessage(self._device, self._assigned.models, mode, self._assigned.gang)
        try:
            answer = await child.ask(
                Frame(LOAD, message.written(), key),
                self._limits.load_seconds,
                lambda text: self._become("loading", text),
            )
        except TimeoutError as hung:
            raise LoadFailed(f"while loading the device process {hung}") from None
        except EOFError:
            cause = await child.process.cause()
            raise LoadFailed(f"the device process ended while loading ({cause})") from None
        if answer.kind == FAILED:
            raise LoadFailed(_failure(answer).message)
        loaded = json.loads(answer.head)
        signatures = tuple(map(_signature, loaded["signatures"]))
        for model, options in loaded["without_effect"].items():
            if options:
                what = str(self._assigned.what)
                log.warning("model options without effect", what=what, model=model, options=options)
        self.holding = replace(self.holding, models=signatures)

    def _become(self, state: str, detail: str) -> None:
        log.info("holding", what=str(self._assigned.what), state=state, detail=detail)
        self.holding = replace(self.holding, state=state, detail=detail)
        self._changed()


def _failure(answer: Frame) -> ServingError:
    named = json.loads(answer.head)
    return rebuild(named["error"], named["message"])


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
