"""The walk of instances through a stage graph."""

import asyncio

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from services.worker.graph.plan import plan_of
from services.worker.graph.runner import GraphRunner
from services.worker.metrics import Metrics
from services.worker.stages.chunks import call_function
from services.worker.stages.messages import StagePlace
from services.worker.stages.paces import Paces
from shared.deadline import Deadline
from shared.errors import DeadlineExceeded, ExecutionFailed, Overloaded, StageFailed
from shared.servable import Method, ServableVersion
from shared.stage_graph import METHOD_INPUTS, FunctionCall, ModelCall, Source, Stage, StageGraph
from shared.urgency import NOT_URGENT, Urgency

WHAT = ServableVersion("toy", 1)
X = Source(METHOD_INPUTS, 0)


class Inline:
    """Calls functions where it stands."""

    def __init__(self, seconds=0.0):
        self.paces = Paces()
        if seconds:
            for index in range(3):
                self.paces.note(StagePlace(WHAT, "it", index), seconds, 1)

    async def run(self, work, instances):
        return call_function(work.stage, work.call, work.where, instances)


class Models:
    """Answers with what a test put there."""

    def __init__(self, answer=None):
        self.answer = answer or (lambda call, rows: rows)

    async def run(self, call, where, instances, urgency):
        answer = self.answer(call, instances)
        return await answer if asyncio.iscoroutine(answer) else answer


def function(callable_, *inputs, outputs=1, batch_size=None):
    call = FunctionCall("toy.f", callable_, batch_size)
    return Stage(call, inputs, outputs, "Function 'toy.f'")


def model(*inputs, key="m"):
    return Stage(ModelCall(key), inputs, 1, f"Model '{key}'")


async def run(stages, outputs, instances, models=None, inputs=1, seconds=0.0, urgency=NOT_URGENT):
    graph = StageGraph(inputs, tuple(stages), outputs)
    names = tuple(f"x{n}" for n in range(inputs))
    method = Method("it", names, tuple(f"y{n}" for n in range(len(outputs))), graph)
    runner = GraphRunner(Inline(seconds), Metrics(CollectorRegistry()))
    return await runner.run(WHAT, plan_of(method), models or Models(), instances, urgency)


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


SLOW = [function(lambda a: a + "1", X), model(Source(0, 0)), function(str.upper, Source(1, 0))]


async def calls_of_the_model(seconds, instances):
    seen = []

    def answer(call, rows):
        seen.append(len(rows))
        return rows

    outcomes = await run(SLOW, (Source(2, 0),), instances, Models(answer), seconds=seconds)
    assert outcomes == [(a.upper() + "1",) for (a,) in instances]
    return seen


async def test_instances_of_slow_functions_go_through_the_stages_one_by_one():
    assert await calls_of_the_model(0.01, [("a",), ("b",), ("c",)]) == [1, 1, 1]


async def test_instances_of_fast_functions_go_in_parts_that_are_worth_it():
    assert await calls_of_the_model(0.0004, [("a",), ("b",), ("c",)]) == [2, 1]
    assert await calls_of_the_model(1e-6, [("a",), ("b",), ("c",)]) == [3]


async def test_while_nobody_knows_how_slow_functions_are_instances_stay_together():
    assert await calls_of_the_model(0.0, [("a",), ("b",)]) == [2]


async def test_instances_overlap_in_different_stages():
    """The first instance is at the model before the last one has been at the function."""
    order = []

    def before(a):
        order.append(f"before {a}")
        return a

    async def answer(rows):
        order.append(f"model {rows[0][0]}")
        return rows

    models = Models(lambda call, rows: answer(rows))
    stages = [function(before, X), model(Source(0, 0))]
    await run(stages, (Source(1, 0),), [("a",), ("b",)], models, seconds=0.01)
    assert order == ["before a", "model a", "before b", "model b"]


async def test_parts_that_were_refused_beside_others_that_ran_are_final():
    def refuse(call, rows):
        if rows == [("b",)]:
            raise Overloaded("full")
        return rows

    stages = [model(X), function(lambda a: a, Source(0, 0))]
    first, second = await run(
        stages, (Source(1, 0),), [("a",), ("b",)], Models(refuse), seconds=0.01
    )
    assert first == ("a",)
    assert type(second) is ExecutionFailed

    def refuse_all(call, rows):
        raise Overloaded("full")

    with pytest.raises(Overloaded):
        await run(stages, (Source(1, 0),), [("a",), ("b",)], Models(refuse_all), seconds=0.01)


async def test_a_batch_function_keeps_its_instances_together():
    sizes = []

    def together(instances):
        sizes.append(len(instances))
        return [a for (a,) in instances]

    stages = [function(together, X, batch_size=0), model(Source(0, 0))]
    await run(stages, (Source(1, 0),), [("a",), ("b",)], seconds=0.01)
    assert sizes == [2]


async def test_a_function_that_is_too_late_is_named_where_nobody_else_ends_the_request():
    never = asyncio.Event()

    class Slow(Inline):
        async def run(self, *_):
            await never.wait()

    graph = StageGraph(1, (function(len, X),), (Source(0, 0),))
    plan = plan_of(Method("it", ("x",), ("y",), graph))
    runner = GraphRunner(Slow(), Metrics(CollectorRegistry()))
    deadline = Deadline.after(0.02, now=asyncio.get_running_loop().time())
    urgency = Urgency(deadline, is_kept=False)
    async with asyncio.timeout(10):
        (outcome,) = await runner.run(WHAT, plan, Models(), [("x",)], urgency)
    assert isinstance(outcome, DeadlineExceeded)
    assert outcome.message == (
        "Call Function 'toy.f' Failed, method: 'it', stage index(begin with 1): 1, error msg:"
        " the deadline passed"
    )
