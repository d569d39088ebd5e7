"""Walks the instances of one request through a method's stages.

Every stage starts as soon as the stages it needs are done. An instance that
fails in a stage drops out; the others go on.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from services.worker.graph.plan import MethodPlan, StagePlan
from services.worker.instances import Outcome, Values
from services.worker.metrics import Metrics
from shared.deadline import Deadline
from shared.errors import ExecutionFailed, InternalError, Refused, ServingError
from shared.servable import ServableVersion
from shared.stage_graph import FunctionCall, ModelCall, Stage
from shared.tasks import task_scope
from shared.tensors import Value

_NOT_YET: Value = ""


class Functions(Protocol):
    """Whoever calls Python stages."""

    async def run(
        self,
        stage: Stage,
        call: FunctionCall,
        where: str,
        instances: Sequence[Values],
        models: "Models",
        deadline: Deadline | None,
    ) -> list[Outcome]:
        """An outcome for each instance; functions may call ``models``."""


class Models(Protocol):
    """Whoever executes models."""

    def check(self, call: ModelCall, where: str) -> None:
        """Raises InvalidRequest for a model or subgraph that is not there."""

    async def run(
        self, call: ModelCall, where: str, instances: Sequence[Values], deadline: Deadline | None
    ) -> list[Outcome]:
        """An outcome for each instance; Refused when nothing of it has begun."""


class _Instance:
    """One instance on its way: the values it has so far, by place, and how it failed."""

    __slots__ = ("failure", "values")

    def __init__(self, inputs: Values, places: int) -> None:
        self.values: list[Value] = [*inputs, *[_NOT_YET] * (places - len(inputs))]
        self.failure: ServingError | None = None

    def read_writable(self, place: int) -> Value:
        """As a stage function gets it: bytes as a 1-D uint8 array, arrays writable.

        What it changes in place, later stages see, as in the original.
        """
        value = self.values[place]
        if isinstance(value, bytes):
            return np.frombuffer(bytearray(value), np.uint8)
        if isinstance(value, np.ndarray) and not value.flags.writeable:
            value = self.values[place] = value.copy()
        return value


class GraphRunner:
    """Runs methods of servable versions."""

    def __init__(self, functions: Functions, metrics: Metrics) -> None:
        self._functions = functions
        self._metrics = metrics

    async def run(
        self,
        what: ServableVersion,
        plan: MethodPlan,
        models: Models,
        instances: Sequence[Values],
        deadline: Deadline | None,
    ) -> list[Outcome]:
        """An outcome for each instance, in order.

        Raises Refused only when no stage has begun: the request may go elsewhere.
        """
        walk = _Walk(self._functions, self._metrics, what, plan, models, deadline)
        walk.instances = [_Instance(values, plan.places) for values in instances]
        await walk.run()
        return [walk.outcome(instance) for instance in walk.instances]


class _Walk:
    """One request."""

    def __init__(
        self,
        functions: Functions,
        metrics: Metrics,
        what: ServableVersion,
        plan: MethodPlan,
        models: Models,
        deadline: Deadline | None,
    ) -> None:
        self._functions = functions
        self._metrics = metrics
        self._what = what
        self._plan = plan
        self._models = models
        self._deadline = deadline
        self._finished_stages = 0
        self.instances: list[_Instance] = []

    async def run(self) -> None:
        if self._plan.is_chain:
            for stage in self._plan.stages:
                await self._run_stage(stage)
            return
        async with task_scope() as scope:
            tasks: list[asyncio.Task[None]] = []
            for stage in self._plan.stages:
                needed = [tasks[before] for before in stage.needs]
                tasks.append(scope.spawn(self._run_after(needed, stage), name=stage.stage.tag))
            await asyncio.gather(*tasks)

    async def _run_after(self, needed: Sequence[asyncio.Task[None]], stage: StagePlan) -> None:
        for task in needed:
            await task
        await self._run_stage(stage)

    async def _run_stage(self, plan: StagePlan) -> None:
        living = [instance for instance in self.instances if instance.failure is None]
        if not living:
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            outcomes = await self._call(plan, living)
        except Refused as refusal:
            if not self._finished_stages:
                raise
            # Stages have run: whoever sent this must not send it elsewhere.
            outcomes = [ExecutionFailed(refusal.message)] * len(living)
        self._finished_stages += 1
        self._metrics.stage(self._what.servable, self._plan.method.name, plan.stage.tag).observe(
            loop.time() - began
        )
        for instance, outcome in zip(living, outcomes, strict=True):
            if isinstance(outcome, ServingError):
                instance.failure = instance.failure or outcome
            elif len(outcome) == plan.stage.outputs_count:
                instance.values[plan.writes] = outcome
            else:
                count = f"{len(outcome)} outputs instead of {plan.stage.outputs_count}"
                instance.failure = InternalError(f"{plan.where}{count}")

    async def _call(self, plan: StagePlan, living: Sequence[_Instance]) -> list[Outcome]:
        call = plan.stage.call
        if isinstance(call, ModelCall):
            rows = [tuple([each.values[place] for place in plan.reads]) for each in living]
            return await self._models.run(call, plan.where, rows, self._deadline)
        given = [tuple([each.read_writable(place) for place in plan.reads]) for each in living]
        return await self._functions.run(
            plan.stage, call, plan.where, given, self._models, self._deadline
        )

    def outcome(self, instance: _Instance) -> Outcome:
        if instance.failure is not None:
            return instance.failure
        return tuple([instance.values[place] for place in self._plan.outputs])
