"""Walks the instances of one request through a method's stages.

Every stage starts as soon as the stages it needs are done. An instance that
fails in a stage drops out; the others go on.
"""

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from services.worker.graph.plan import MethodPlan, StagePlan
from services.worker.instances import Outcome, Values, as_given
from services.worker.metrics import Metrics
from services.worker.stages.changes import changed
from services.worker.stages.messages import StagePlace
from services.worker.stages.model_calls import Models
from services.worker.stages.paces import Paces
from services.worker.stages.work import StageWork
from shared.errors import (
    DeadlineExceeded,
    ExecutionFailed,
    InternalError,
    Refused,
    ServingError,
)
from shared.servable import ServableVersion
from shared.stage_graph import ModelCall
from shared.tasks import task_scope
from shared.tensors import Value
from shared.urgency import Urgency

_NOT_YET: Value = ""
# Parts of a request that take less cost more than they win.
_PART_SECONDS = 1e-3


class Functions(Protocol):
    """Whoever calls Python stages."""

    async def run(self, work: StageWork, instances: Sequence[Values]) -> list[Outcome]:
        """An outcome for each instance, in order."""

    @property
    def paces(self) -> Paces:
        """How long functions take."""


class _Instance:
    """One instance on its way: the values it has so far, by place, and how it failed."""

    __slots__ = ("failure", "values")

    def __init__(self, inputs: Values, places: int) -> None:
        self.values: list[Value] = [*inputs, *[_NOT_YET] * (places - len(inputs))]
        self.failure: ServingError | None = None

    def take(self, plan: StagePlan, outcome: Values) -> None:
        """What a stage gave for it: its outputs, and what it changed in place elsewhere."""
        count = plan.stage.outputs_count
        if len(outcome) not in (count, count + len(plan.read_again)):
            wrong = f"{len(outcome)} outputs instead of {count}"
            self.failure = InternalError(f"{plan.where}{wrong}")
            return
        self.values[plan.writes] = outcome[:count]
        for number, value in changed(outcome[count:], plan.read_again).items():
            self.values[plan.reads[number]] = value

    def read_writable(self, place: int) -> Value:
        """As a stage function gets it: bytes as a 1-D uint8 array, arrays writable.

        What it changes in place, later stages see, as in the original.
        """
        value = as_given(self.values[place])
        if isinstance(value, np.ndarray) and isinstance(self.values[place], np.ndarray):
            self.values[place] = value
        return value


class GraphRunner:
    """Runs methods of servable versions."""

    def __init__(self, functions: Functions, metrics: Metrics) -> None:
        self._functions = functions
        self._metrics = metrics
        self._numbers = itertools.count()

    async def run(
        self,
        what: ServableVersion,
        plan: MethodPlan,
        models: Models,
        instances: Sequence[Values],
        urgency: Urgency,
    ) -> list[Outcome]:
        """An outcome for each instance, in order.

        Raises Refused only when no stage has begun: the request may go elsewhere.
        """
        request = _Request(next(self._numbers), what, plan, models, urgency)
        size = self._part_size(what, plan) if len(instances) > 1 and plan.flows else 0
        if not 0 < size < len(instances):
            return await self._walk(request, instances)
        parts = [instances[at : at + size] for at in range(0, len(instances), size)]
        async with task_scope() as scope:
            walks = [
                scope.spawn(
                    self._walk_or_refusal(request, part),
                    name=f"part of {plan.method.name}",
                )
                for part in parts
            ]
            ended = await asyncio.gather(*walks)
        return _joined(parts, ended)

    def _part_size(self, what: ServableVersion, plan: MethodPlan) -> int:
        """Instances that go through the stages together: later ones are at earlier stages then.

        0 while nobody knows what they take.
        """
        slowest = max(
            self._functions.paces.seconds(StagePlace(what, plan.method.name, stage.index))
            for stage in plan.stages
        )
        return max(1, int(_PART_SECONDS / slowest)) if slowest else 0

    async def _walk(self, request: "_Request", instances: Sequence[Values]) -> list[Outcome]:
        walk = _Walk(self._functions, self._metrics, request)
        walk.instances = [_Instance(values, request.plan.places) for values in instances]
        await walk.run()
        return [walk.outcome(instance) for instance in walk.instances]

    async def _walk_or_refusal(
        self, request: "_Request", instances: Sequence[Values]
    ) -> list[Outcome] | Refused:
        try:
            return await self._walk(request, instances)
        except Refused as refusal:
            return refusal


def _joined(
    parts: Sequence[Sequence[Values]], ended: Sequence[list[Outcome] | Refused]
) -> list[Outcome]:
    """The outcomes of all parts; raises Refused only when no part has begun."""
    refusals = [each for each in ended if isinstance(each, Refused)]
    if len(refusals) == len(parts):
        raise refusals[0]
    outcomes: list[Outcome] = []
    for part, each in zip(parts, ended, strict=True):
        if isinstance(each, Refused):
            # Other parts have run: whoever sent this must not send it elsewhere.
            outcomes += [ExecutionFailed(each.message)] * len(part)
        else:
            outcomes += each
    return outcomes


class _Request:
    """What all parts of a request have in common."""

    def __init__(
        self,
        number: int,
        what: ServableVersion,
        plan: MethodPlan,
        models: Models,
        urgency: Urgency,
    ) -> None:
        self._number = number
        self.what = what
        self.plan = plan
        self.models = models
        self.urgency = urgency
        self._works: dict[int, StageWork] = {}

    def work(self, plan: StagePlan) -> StageWork:
        """One of its Python stages; the same for all parts, which tells them from others."""
        work = self._works.get(plan.index)
        if work is None:
            place = StagePlace(self.what, self.plan.method.name, plan.index)
            work = StageWork(
                self._number, place, plan.stage, plan.where, self.models, self.urgency,
                plan.read_again,
            )  # fmt: skip
            self._works[plan.index] = work
        return work


class _Walk:
    """Instances of one request on their way through its stages together."""

    def __init__(self, functions: Functions, metrics: Metrics, request: _Request) -> None:
        self._functions = functions
        self._metrics = metrics
        self._request = request
        self._plan = request.plan
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
        # The event loop's own clock has steps of a millisecond.
        began = time.perf_counter()
        try:
            outcomes = await self._call(plan, living)
        except Refused as refusal:
            if not self._finished_stages:
                raise
            # Stages have run: whoever sent this must not send it elsewhere.
            outcomes = [ExecutionFailed(refusal.message)] * len(living)
        self._finished_stages += 1
        self._metrics.stage(
            self._request.what.servable, self._plan.method.name, plan.stage.tag
        ).observe(time.perf_counter() - began)
        for instance, outcome in zip(living, outcomes, strict=True):
            if isinstance(outcome, ServingError):
                instance.failure = instance.failure or outcome
            else:
                instance.take(plan, outcome)

    async def _call(self, plan: StagePlan, living: Sequence[_Instance]) -> list[Outcome]:
        call = plan.stage.call
        if isinstance(call, ModelCall):
            rows = [tuple([each.values[place] for place in plan.reads]) for each in living]
            request = self._request
            return await request.models.run(call, plan.where, rows, request.urgency)
        given = [tuple([each.read_writable(place) for place in plan.reads]) for each in living]
        running = self._functions.run(self._request.work(plan), given)
        urgency = self._request.urgency
        if urgency.deadline is None or urgency.is_kept:
            return await running
        try:
            async with asyncio.timeout_at(urgency.deadline.at):
                return await running
        except TimeoutError:
            return [DeadlineExceeded(f"{plan.where}the deadline passed")] * len(living)

    def outcome(self, instance: _Instance) -> Outcome:
        if instance.failure is not None:
            return instance.failure
        return tuple([instance.values[place] for place in self._plan.outputs])
