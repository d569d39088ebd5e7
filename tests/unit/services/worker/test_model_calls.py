"""``Model.call`` inside stage functions, with models that a test answers for."""

import asyncio
import threading
from contextlib import asynccontextmanager

import numpy as np
import pytest

from services.worker.stages.functions import FunctionStages
from services.worker.stages.work import StageWork
from shared.deadline import Deadline
from shared.declaration import Model
from shared.errors import ExecutionFailed, InvalidRequest, StageFailed
from shared.stage_graph import METHOD_INPUTS, FunctionCall, ModelCall, Source, Stage
from shared.tasks import task_scope
from shared.urgency import NOT_URGENT, Urgency
from tests.support.cluster import until

WHERE = "Call it Failed, error msg: "
MODEL = Model("m.mindir")
FORMS = r"the inputs can be call\(x1, x2\) for one instance or call\(\[\[x1, x2\], \[x3, x4\]\]\)"


class Models:
    """Two inputs a and b, one output a + b; subgraph 1 has the outputs a and b."""

    def __init__(self):
        self.asked = []
        self.hold = None
        self.withdrawn = 0

    def inputs_count(self, call):
        if call.subgraph > 1:
            raise InvalidRequest("The model does not have subgraph of index 2")
        return 2

    async def run(self, call, where, instances, urgency):
        self.asked.append((call, len(instances)))
        if self.hold is not None:
            try:
                await self.hold.wait()
            except asyncio.CancelledError:
                self.withdrawn += 1
                raise
        return [
            ExecutionFailed("it fell over")
            if np.any(a == -1)
            else (np.asarray(a + b),)
            if call.subgraph == 0
            else (a, b)
            for a, b in instances
        ]


@asynccontextmanager
async def stages():
    async with task_scope() as scope:
        functions = FunctionStages(2, scope)
        try:
            yield functions
        finally:
            functions.close()


def run(functions, models, function, *, urgency=NOT_URGENT, value="x"):
    call = FunctionCall("toy.it", function, None)
    made = Stage(call, (Source(METHOD_INPUTS, 0),), 1, "it")
    return functions.run(StageWork(0, None, made, WHERE, models, urgency), [(value,)])


async def outcome(function, models=None):
    """The stage's value, or the text of its failure."""
    async with asyncio.timeout(10), stages() as functions:
        (found,) = await run(functions, models or Models(), function)
    if isinstance(found, StageFailed):
        return found.message.removeprefix(WHERE)
    return found[0].tolist() if isinstance(found[0], np.ndarray) else found[0]


async def test_one_instance_gives_its_output():
    models = Models()
    assert await outcome(lambda x: MODEL.call(np.float32(1), np.float32(2)), models) == 3
    assert models.asked == [(ModelCall("m.mindir", 0), 1)]


async def test_one_instance_of_a_model_with_several_outputs_gives_a_tuple():
    assert await outcome(lambda x: repr(MODEL.call(1, 2, subgraph=1))) == "(array(1), array(2))"


async def test_several_instances_give_a_tuple_of_tuples_and_share_a_call():
    models = Models()

    def it(x):
        found = MODEL.call([[1, 2], (3, 4)])
        assert isinstance(found, tuple)
        ((first,), (second,)) = found
        return int(first) * 10 + int(second)

    assert await outcome(it, models) == 37
    assert models.asked == [(ModelCall("m.mindir", 0), 2)]


async def test_loops_and_branches_around_calls():
    def it(x):
        total = np.float32(0)
        while total < 10:
            total = MODEL.call(total, np.float32(4))
        return total if total > 100 else MODEL.call(total, total)

    assert await outcome(it) == 24


async def test_what_a_model_gave_may_be_changed():
    def it(x):
        found = MODEL.call(np.zeros(2, np.float32), np.ones(2, np.float32))
        found += 1
        return found

    assert await outcome(it) == [2, 2]


@pytest.mark.parametrize(
    ("args", "kinds", "reason"),
    [
        ((), {}, rf"Model\(m.mindir\).call\(\) failed: no inputs provided, {FORMS}"),
        (([],), {}, "Input instances count is 0"),
        (([1, 2],), {}, rf"inputs format invalid, {FORMS}"),
        ((1, [2]), {}, rf"inputs format invalid, {FORMS}"),
        ((1,), {}, "The inputs count 1 of instance 0 is not equal to the inputs count 2"),
        (([[1, 2], [3]],), {}, "The inputs count 1 of instance 1 is not equal to the"),
        ((1, 2), {"subgraph": 2}, "does not have subgraph of index 2"),
        ((1, 2), {"subgraph": "0"}, "Parameter 'subgraph' should be int, but actually <class 'str"),
        ((1, None), {}, "cannot serve a result of type NoneType"),
        ((-1, 2), {}, "instance 0: it fell over"),
    ],
)
async def test_wrong_calls_are_errors_of_the_stage(args, kinds, reason):
    found = await outcome(lambda x: MODEL.call(*args, **kinds))
    assert found.startswith("RuntimeError: ")
    with pytest.raises(RuntimeError, match=reason):
        raise RuntimeError(found)


def test_outside_a_stage_there_is_nobody_to_call():
    with pytest.raises(RuntimeError, match="can only be called in a stage function"):
        MODEL.call(1, 2)


async def test_when_the_caller_leaves_its_model_calls_end_and_its_thread_is_free():
    models, failed = Models(), threading.Event()
    models.hold = asyncio.Event()

    def it(x):
        try:
            MODEL.call(1, 2)
        except RuntimeError:
            failed.set()
            MODEL.call(1, 2)

    async with asyncio.timeout(10), stages() as functions:
        task = asyncio.create_task(run(functions, models, it))
        await until(lambda: models.asked, what="the first call")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: models.withdrawn, what="it to be withdrawn")
        assert await asyncio.to_thread(failed.wait, 5)
    assert len(models.asked) == 1  # the second call was refused


async def test_a_model_that_does_not_answer_fails_the_stage_at_the_deadline():
    models = Models()
    models.hold = asyncio.Event()
    async with asyncio.timeout(10), stages() as functions:
        deadline = Deadline.after(0.05, now=asyncio.get_running_loop().time())
        (found,) = await run(
            functions, models, lambda x: MODEL.call(1, 2), urgency=Urgency(deadline)
        )
    assert "the deadline passed while waiting for the model" in found.message


async def test_calls_of_stages_that_run_beside_each_other_do_not_mix():
    models = Models()
    both = threading.Barrier(2, timeout=5)

    def it(x):
        both.wait()
        return MODEL.call(np.float32(x), np.float32(x))

    async with asyncio.timeout(10), stages() as functions:
        found = await asyncio.gather(
            *(run(functions, models, it, value=text) for text in ("1", "2"))
        )
    assert [each[0][0] for each in found] == [2, 4]
