"""Walks the instances of one request through a method's stages.

Every stage starts as soon as the stages it needs are done. An instance that
fails in a stage drops out; the others go on.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from services.worker.instances import Outcome, Values
from services.worker.metrics import Metrics
from shared.deadline import Deadline
from shared.errors import ExecutionFailed, InternalError, Refused, ServingError
from shared.servable import Method, ServableVersion
from shared.stage_graph import METHOD_INPUTS, FunctionCall, ModelCall, Source, Stage, predecessors
from shared.tasks import task_scope
from shared.tensors import Value


class Functions(Protocol):
    """Whoever calls Python stages."""

    async def run(
        self, stage: Stage, call: FunctionCall, where: str, instances: Sequence[Values]
    ) -> list[Outcome]:
        """An outcome for each instance."""


class Models(Protocol):
    """Whoever executes models."""

    async def run(
        self, call: ModelCall, where: str, instances: Sequence[Values], deadline: Deadline | None
    ) -> list[Outcome]:
        """An outcome for each instance; Refused when nothing of it has begun."""


@dataclass(slots=True)
class _Instance:
    """One instance on its way: what it was given, what its stages gave, how it failed."""

    inputs: list[Value]
    outputs: dict[int, list[Value]] = field(default_factory=dict)
    failure: ServingError | None = None

    def values_of(self, stage: int) -> list[Value]:
        return self.inputs if stage == METHOD_INPUTS else self.outputs[stage]

    def read(self, source: Source) -> Value:
        return self.values_of(source.stage)[source.output]

    def read_writable(self, source: Source) -> Value:
        """As a stage function gets it: bytes as a 1-D uint8 array, arrays writable.

        What it changes in place, later stages see, as in the original.
        """
        values = self.values_of(source.stage)
        value = values[source.output]
        if isinstance(value, bytes):
            return np.frombuffer(bytearray(value), np.uint8)
        if isinstance(value, np.ndarray) and not value.flags.writeable:
            value = values[source.output] = value.copy()
        return value


class GraphRunner:
    """Runs methods of servable versions."""

    def __init__(self, functions: Functions, metrics: Metrics) -> None:
        self._functions = functions
        self._metrics = metrics

    async def run(
        self,
        what: ServableVersion,
        method: Method,
        models: Models,
        instances: Sequence[Values],
        deadline: Deadline | None,
    ) -> list[Outcome]:
        """An outcome for each instance, in order.

        Raises Refused only when no stage has begun: the request may go elsewhere.
        """
        walk = _Walk(self._functions, self._metrics, what, method, models, deadline)
        walk.instances = [_Instance(list(values)) for values in instances]
        await walk.run()
        return [walk.outcome(instance) for instance in walk.instances]


class _Walk:
    """One request."""

    def __init__(
        self,
        functions: Functions,
        metrics: Metrics,
        what: ServableVersion,
        method: Method,
        models: Models,
        deadline: Deadline | None,
    ) -> None:
        self._functions = functions
        self._metrics = metrics
        self._what = what
        self._method = method
        self._models = models
        self._deadline = deadline
        self._finished_stages = 0
        self.instances: list[_Instance] = []

    async def run(self) -> None:
        stages = self._method.graph.stages
        if _is_chain(stages):
            for index in range(len(stages)):
                await self._run_stage(index)
            return
        async with task_scope() as scope:
            tasks: list[asyncio.Task[None]] = []
            for index, stage in enumerate(stages):
                needed = [tasks[before] for before in predecessors(stage)]
                tasks.append(scope.spawn(self._run_after(needed, index), name=f"stage {index + 1}"))
            await asyncio.gather(*tasks)

    async def _run_after(self, needed: Sequence[asyncio.Task[None]], index: int) -> None:
        for task in needed:
            await task
        await self._run_stage(index)

    async def _run_stage(self, index: int) -> None:
        living = [instance for instance in self.instances if instance.failure is None]
        if not living:
            return
        stage = self._method.graph.stages[index]
        began = asyncio.get_running_loop().time()
        try:
            outcomes = await self._call(index, stage, living)
        except Refused as refusal:
            if not self._finished_stages:
                raise
            # Stages have run: whoever sent this must not send it elsewhere.
            outcomes = [ExecutionFailed(refusal.message)] * len(living)
        self._finished_stages += 1
        took = asyncio.get_running_loop().time() - began
        self._metrics.stage(self._what.servable, self._method.name, stage.tag).observe(took)
        for instance, outcome in zip(living, outcomes, strict=True):
            if isinstance(outcome, ServingError):
                instance.failure = instance.failure or outcome
            else:
                instance.outputs[index] = list(outcome)

    async def _call(self, index: int, stage: Stage, living: Sequence[_Instance]) -> list[Outcome]:
        where = (
            f"Call {stage.tag} Failed, method: '{self._method.name}',"
            f" stage index(begin with 1): {index + 1}, error msg: "
        )
        if isinstance(stage.call, ModelCall):
            rows = [tuple(each.read(source) for source in stage.inputs) for each in living]
            return await self._models.run(stage.call, where, rows, self._deadline)
        given = [tuple(each.read_writable(source) for source in stage.inputs) for each in living]
        return await self._functions.run(stage, stage.call, where, given)

    def outcome(self, instance: _Instance) -> Outcome:
        if instance.failure is not None:
            return instance.failure
        try:
            return tuple(instance.read(source) for source in self._method.graph.outputs)
        except KeyError:
            return InternalError(f"{self._what}, method '{self._method.name}': a stage did not run")


def _is_chain(stages: Sequence[Stage]) -> bool:
    """Whether each stage needs the one before it, so that none can run beside another."""
    return all(index in predecessors(stage) for index, stage in enumerate(stages[1:]))
