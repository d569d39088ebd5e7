"""Models called out of stage functions: from a thread to the loop and back."""

import asyncio
import threading

import numpy as np
import pytest

from services.worker.graph.models import ModelStages
from services.worker.stages.functions import FunctionStages
from shared.declaration import Model
from shared.errors import ExecutionFailed, InvalidRequest, Overloaded, StageFailed
from shared.servable import ModelSpec
from shared.stage_graph import METHOD_INPUTS, FunctionCall, ModelCall, Source, Stage
from shared.tasks import task_scope

MODEL = Model("m")


class Models:
    """Doubles; a subgraph 1 answers with two outputs."""

    def __init__(self, answer=None):
        self.calls = []
        self.answer = answer

    def check(self, call, where):
        if call.model != "m":
            raise InvalidRequest(f"{where}the model is not declared")

    async def run(self, call, where, instances, deadline):
        self.calls.append((call, len(instances)))
        if self.answer is not None:
            return await self.answer(where, instances)
        return [(x * 2,) if call.subgraph == 0 else (x, x * 2) for (x,) in instances]


async def run(function, models, value=3.0):
    call = FunctionCall("toy.f", function, None)
    stage = Stage(call, (Source(METHOD_INPUTS, 0),), 1, "it")
    async with task_scope() as scope:
        functions = FunctionStages(1, scope)
        try:
            (outcome,) = await functions.run(stage, call, "", [(np.array(value),)], models, None)
        finally:
            functions.close()
    return outcome.message if isinstance(outcome, StageFailed) else outcome[0].tolist()


async def test_one_instance_gives_its_outputs_bare_or_as_a_tuple():
    models = Models()
    assert await run(lambda x: MODEL.call(MODEL.call(x)), models) == 12.0
    assert await run(lambda x: sum(MODEL.call(x, subgraph=1)), models) == 9.0
    assert models.calls == [(ModelCall("m"), 1)] * 2 + [(ModelCall("m", 1), 1)]


async def test_several_instances_give_a_tuple_of_tuples():
    models = Models()

    def function(x):
        got = MODEL.call([[x], (x + 1,)])
        assert isinstance(got, tuple)
        assert all(isinstance(each, tuple) for each in got)
        return got[0][0] + got[1][0]

    assert await run(function, models) == 14.0
    assert models.calls == [(ModelCall("m"), 2)]


async def test_what_a_model_gives_may_be_changed_in_place():
    async def read_only(where, instances):
        array = np.ones(2)
        array.flags.writeable = False
        return [(array,)]

    def function(x):
        y = MODEL.call(x)
        y += 1
        return y

    assert await run(function, Models(read_only)) == [2.0, 2.0]


async def refuse(where, instances):
    raise Overloaded("no room")


async def fail_one(where, instances):
    return [*((each,) for (each,) in instances[:-1]), ExecutionFailed(f"{where}broken")]


@pytest.mark.parametrize(
    ("function", "answer", "words"),
    [
        (lambda x: MODEL.call(), None, "no inputs provided, use call(x1, x2) for one instance"),
        (lambda x: MODEL.call([]), None, "Input instances count is 0"),
        (lambda x: MODEL.call([x]), None, "inputs format invalid, use call(x1, x2)"),
        (lambda x: MODEL.call({}), None, "inputs format invalid, cannot serve a result of type"),
        (MODEL.call, refuse, "no room"),
        (lambda x: MODEL.call([[x], [x]]), fail_one, "broken"),
    ],
)
async def test_a_wrong_or_failing_call_is_an_error_in_the_function(function, answer, words):
    text = await run(function, Models(answer))
    assert text.startswith(f"RuntimeError: Model(m).call() failed: {words}")


async def test_a_model_that_is_not_declared_cannot_be_called():
    text = await run(lambda x: Model("n").call(x), Models())
    assert text == "RuntimeError: Model(n).call() failed: the model is not declared"
    text = await run(lambda x: MODEL.call(x, subgraph=-1), Models())
    assert text == "RuntimeError: Parameter 'subgraph' should be >= 0"


def test_a_subgraph_that_is_not_there_is_refused():
    stages = ModelStages({"m": ModelSpec("m", ("m",), "reference", True)}, lambda key: None, None)
    stages.check(ModelCall("m"), "here: ")
    with pytest.raises(InvalidRequest) as failure:
        stages.check(ModelCall("m", 1), "here: ")
    assert failure.value.message == (
        "here: The model does not have subgraph of index 1, the subgraph count of the model is 1"
    )
    with pytest.raises(InvalidRequest, match="here: the model is not declared"):
        stages.check(ModelCall("n"), "here: ")


def test_outside_of_a_stage_function_no_model_can_be_called():
    with pytest.raises(RuntimeError, match="it can only be called in a stage function while a"):
        MODEL.call(1)


async def test_a_function_whose_caller_leaves_waits_for_no_model():
    waiting, texts, ended = asyncio.Event(), [], threading.Event()

    async def never(where, instances):
        waiting.set()
        await asyncio.Event().wait()

    def function(x):
        try:
            for _ in range(2):
                try:
                    MODEL.call(x)
                except RuntimeError as failure:
                    texts.append(str(failure))
        finally:
            ended.set()

    leaving = asyncio.create_task(run(function, Models(never)))
    await waiting.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert await asyncio.to_thread(ended.wait, 10)
    assert texts == ["Model(m).call() failed: its caller has left"] * 2
