"""Pipelines on their threads, with methods that a test answers for."""

import asyncio
import threading
from contextlib import asynccontextmanager

import numpy as np
import pytest

from services.worker.stages.functions import FunctionStages
from services.worker.stages.messages import StagePlace
from services.worker.stages.pipelines import Pipelines
from services.worker.stages.work import StageWork
from shared.deadline import Deadline
from shared.declaration_pipeline import PipelineServable
from shared.errors import ExecutionFailed, NotServed, StageFailed
from shared.servable import ServableVersion
from shared.stage_graph import METHOD_INPUTS, FunctionCall, Source, Stage
from shared.tasks import task_scope
from shared.urgency import NOT_URGENT, Urgency
from tests.support.cluster import until

WHAT = ServableVersion("toy", 3)
PLACE = StagePlace(WHAT, "predict", 0)
WHERE = "Call Pipeline Failed, error msg: "
METHOD = PipelineServable("toy", "twice")


class Methods:
    """Twice the input; waits for ``hold`` if there is one."""

    def __init__(self):
        self.asked = []
        self.hold = None
        self.withdrawn = 0

    async def __call__(self, caller, called, instances, urgency):
        self.asked.append((caller, called, instances))
        if self.hold is not None:
            try:
                await self.hold.wait()
            except asyncio.CancelledError:
                self.withdrawn += 1
                raise
        if called.method == "none":
            raise NotServed("method is not available")
        return [
            ExecutionFailed("it fell over") if x == -1 else (np.asarray(x * 2),)
            for (x,) in instances
        ]


@asynccontextmanager
async def pipelines(methods, threads=2):
    async with asyncio.timeout(10), task_scope() as scope:
        functions = FunctionStages(1, scope)
        made = Pipelines(threads, scope, functions, methods)
        try:
            yield made
        finally:
            made.close()
            functions.close()


def run(made, function, values=(1,), *, is_pipeline=True, urgency=NOT_URGENT):
    call = FunctionCall("toy.it", function, None, is_pipeline=is_pipeline)
    stage = Stage(call, (Source(METHOD_INPUTS, 0),), 1, "Pipeline")
    instances = [(value,) for value in values]
    return made.run(StageWork(0, PLACE, stage, WHERE, None, urgency), instances)


async def test_steps_of_a_pipeline_are_methods_asked_for_by_its_version():
    methods = Methods()
    async with pipelines(methods) as made:
        (found,) = await run(made, lambda x: METHOD.run(METHOD.run(x)))
    assert found[0] == 4
    assert [(caller, called.method) for caller, called, _ in methods.asked] == [(WHAT, "twice")] * 2


async def test_instances_run_at_the_same_time_and_keep_their_order():
    together = threading.Barrier(3, timeout=5)

    def it(x):
        together.wait()
        return METHOD.run(x)

    async with pipelines(Methods(), threads=3) as made:
        found = await run(made, it, (1, 2, 3))
    assert [each[0] for each in found] == [2, 4, 6]


async def test_pipelines_do_not_take_the_threads_of_functions():
    """One thread for functions, and a pipeline whose method needs it."""

    async def with_a_function(caller, called, instances, urgency):
        return await run(made, lambda x: x + 1, [x for (x,) in instances], is_pipeline=False)

    async with pipelines(with_a_function, threads=4) as made:
        found = await run(made, METHOD.run, (1, 2, 3, 4))
    assert [int(each[0]) for each in found] == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: METHOD.run(-1), "PipelineServable(toy.twice).run() failed: it fell over"),
        (lambda x: PipelineServable("toy", "none").run(1), "method is not available"),
        (lambda x: METHOD.run(None), "cannot serve a result of type NoneType"),
        (lambda x: (1, 2), "expected 1 outputs, got 2"),
    ],
)
async def test_what_fails_is_an_error_of_the_pipeline(function, words):
    async with pipelines(Methods()) as made:
        (found,) = await run(made, function)
    assert isinstance(found, StageFailed)
    assert found.message.startswith(WHERE)
    assert words in found.message


async def test_a_failure_can_be_handled_in_the_pipeline():
    def it(x):
        try:
            return METHOD.run(-1)
        except RuntimeError:
            return METHOD.run(x)

    async with pipelines(Methods()) as made:
        (found,) = await run(made, it)
    assert found[0] == 2


async def test_when_the_caller_leaves_its_methods_end_and_its_thread_is_free():
    methods, freed = Methods(), threading.Event()
    methods.hold = asyncio.Event()

    def it(x):
        try:
            return METHOD.run(x)
        finally:
            freed.set()

    async with pipelines(methods) as made:
        task = asyncio.create_task(run(made, it))
        await until(lambda: methods.asked, what="the call of its method")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: methods.withdrawn, what="it to be withdrawn")
        assert await asyncio.to_thread(freed.wait, 5)


async def test_a_method_that_does_not_answer_fails_the_pipeline_at_the_deadline():
    methods = Methods()
    methods.hold = asyncio.Event()
    async with pipelines(methods) as made:
        deadline = Deadline.after(0.05, now=asyncio.get_running_loop().time())
        (found,) = await run(made, METHOD.run, urgency=Urgency(deadline))
    assert "the deadline passed while waiting for the method" in found.message
