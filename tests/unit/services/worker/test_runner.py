"""The walk of instances through a stage graph."""

import asyncio

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from services.worker.graph.plan import plan_of
from services.worker.graph.runner import GraphRunner
from services.worker.metrics import Metrics
from services.worker.stages.functions import call_function
from shared.errors import ExecutionFailed, Overloaded, StageFailed
from shared.servable import Method, ServableVersion
from shared.stage_graph import METHOD_INPUTS, FunctionCall, ModelCall, Source, Stage, StageGraph

WHAT = ServableVersion("toy", 1)
X = Source(METHOD_INPUTS, 0)


class Inline:
    """Calls functions where it stands."""

    async def run(self, stage, call, where, instances, models, deadline):
        return call_function(stage, call, where, instances)


class Models:
    """Answers with what a test put there."""

    def __init__(self, answer=None):
        self.answer = answer or (lambda call, rows: rows)

    async def run(self, call, where, instances, deadline):
        answer = self.answer(call, instances)
        return await answer if asyncio.iscoroutine(answer) else answer


def function(callable_, *inputs, outputs=1, batch_size=None):
    call = FunctionCall("toy.f", callable_, batch_size)
    return Stage(call, inputs, outputs, "Function 'toy.f'")


def model(*inputs, key="m"):
    return Stage(ModelCall(key), inputs, 1, f"Model '{key}'")


async def run(stages, outputs, instances, models=None, inputs=1):
    graph = StageGraph(inputs, tuple(stages), outputs)
    names = tuple(f"x{n}" for n in range(inputs))
    method = Method("it", names, tuple(f"y{n}" for n in range(len(outputs))), graph)
    runner = GraphRunner(Inline(), Metrics(CollectorRegistry()))
    return await runner.run(WHAT, plan_of(method), models or Models(), instances, None)


async def test_a_chain_passes_values_from_stage_to_stage():
    stages = [function(lambda a: a + "1", X), function(lambda a: a + "2", Source(0, 0))]
    assert await run(stages, (Source(1, 0),), [("a",), ("b",)]) == [("a12",), ("b12",)]


async def test_a_method_without_stages_passes_its_inputs_through():
    assert await run([], (X,), [("a",)]) == [("a",)]


async def test_an_instance_that_fails_drops_out_and_the_others_go_on():
    seen = []

    def second(a):
        seen.append(a)
        return a

    stages = [function({"a": "A", "c": "C"}.__getitem__, X), function(second, Source(0, 0))]
    outcomes = await run(stages, (Source(1, 0),), [("a",), ("b",), ("c",)])
    assert outcomes[0] == ("A",)
    assert outcomes[2] == ("C",)
    assert isinstance(outcomes[1], StageFailed)
    assert outcomes[1].message == (
        "Call Function 'toy.f' Failed, method: 'it', stage index(begin with 1): 1,"
        " error msg: KeyError: 'b'"
    )
    assert seen == ["A", "C"]


async def test_stages_that_need_nothing_of_each_other_run_at_the_same_time():
    both = asyncio.Barrier(2)

    async def answer(rows):
        async with asyncio.timeout(5):
            await both.wait()
        return rows

    stages = [
        model(X, key="left"),
        model(X, key="right"),
        function(lambda a, b: a + b, Source(0, 0), Source(1, 0)),
    ]
    models = Models(lambda call, rows: answer(rows))
    assert await run(stages, (Source(2, 0),), [("a",)], models) == [("aa",)]


async def test_a_refusal_before_anything_began_is_raised_for_another_worker():
    def refuse(call, rows):
        raise Overloaded("full")

    with pytest.raises(Overloaded):
        await run([model(X)], (Source(0, 0),), [("a",)], Models(refuse))
    with pytest.raises(Overloaded):
        await run([model(X), model(X)], (Source(0, 0),), [("a",)], Models(refuse))


async def test_a_refusal_after_a_stage_ran_is_final():
    def refuse(call, rows):
        raise Overloaded("full")

    stages = [function(lambda a: a, X), model(Source(0, 0))]
    (outcome,) = await run(stages, (Source(1, 0),), [("a",)], Models(refuse))
    assert type(outcome) is ExecutionFailed
    assert outcome.message == "full"


async def test_functions_get_arrays_they_may_change_and_later_stages_see_it():
    given = np.frombuffer(np.zeros(2, np.int32).tobytes(), np.int32)

    def change(a):
        a += 1
        return 0

    stages = [function(change, X), function(lambda a, _: a * 10, X, Source(0, 0))]
    ((result,),) = await run(stages, (Source(1, 0),), [(given,)])
    assert result.tolist() == [10, 10]
    assert given.tolist() == [0, 0]


async def test_bytes_reach_functions_as_numbers_and_models_results_as_they_are():
    ((result,),) = await run([function(lambda a: a, X)], (Source(0, 0),), [(b"\x01\x02",)])
    assert result.dtype == np.uint8
    assert result.tolist() == [1, 2]
