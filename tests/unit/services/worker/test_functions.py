"""Python stages: how a function is called, and what may come back."""

import asyncio
import threading

import numpy as np
import pytest

from services.worker.stages.chunks import call_function
from services.worker.stages.functions import FunctionStages
from services.worker.stages.work import StageWork
from shared.errors import StageFailed
from shared.stage_graph import METHOD_INPUTS, FunctionCall, Source, Stage
from shared.tasks import task_scope
from shared.urgency import NOT_URGENT

WHERE = "Call it Failed, error msg: "


def stage(function, batch_size=None, outputs=1):
    call = FunctionCall("toy.it", function, batch_size)
    return Stage(call, (Source(METHOD_INPUTS, 0),), outputs, "it")


def call(function, instances, *, batch_size=None, outputs=1):
    made = stage(function, batch_size, outputs)
    return call_function(made, made.call, WHERE, instances)


def plain(outcomes):
    return [
        each.message
        if isinstance(each, StageFailed)
        else tuple(v.tolist() if isinstance(v, np.ndarray) else v for v in each)
        for each in outcomes
    ]


def test_without_batch_size_each_instance_is_a_call_with_its_inputs():
    assert plain(call(lambda a, b: a + b, [("a", "b"), ("c", "d")])) == [("ab",), ("cd",)]


def test_with_batch_size_0_all_instances_are_one_call():
    sizes = []

    def it(instances):
        sizes.append(len(instances))
        return [(a,) for (a,) in instances]

    assert plain(call(it, [("a",), ("b",), ("c",)], batch_size=0)) == [("a",), ("b",), ("c",)]
    assert sizes == [3]


def test_with_batch_size_n_there_are_chunks_of_at_most_n():
    sizes = []

    def it(instances):
        sizes.append(len(instances))
        return [a for (a,) in instances]

    assert len(call(it, [("a",)] * 5, batch_size=2)) == 5
    assert sizes == [2, 2, 1]


def test_an_instance_that_raises_fails_alone_with_the_functions_own_exception():
    outcomes = call(lambda a: 1 / a, [(1,), (0,), (2,)])
    assert plain(outcomes) == [(1.0,), WHERE + "ZeroDivisionError: division by zero", (0.5,)]


@pytest.mark.parametrize("batch_size", [None, 0])
@pytest.mark.parametrize("ending", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_a_function_that_wants_to_end_the_process_fails_its_instance(ending, batch_size):
    def it(*_):
        raise ending("enough")

    assert plain(call(it, [("x",)], batch_size=batch_size)) == [f"{WHERE}{ending.__name__}: enough"]


def test_a_generator_that_wants_to_end_the_process_fails_its_instance():
    def it(instances):
        for (text,) in instances:
            if text == "end":
                raise SystemExit(0)
            yield text

    given = [("a",), ("end",), ("b",)]
    assert plain(call(it, given, batch_size=0)) == [("a",), f"{WHERE}SystemExit: 0", ("b",)]


def test_a_failure_whose_text_is_no_unicode_is_told_all_the_same():
    def it(_):
        raise ValueError("no file \udcff")

    assert plain(call(it, [("x",)])) == [f"{WHERE}ValueError: no file \\udcff"]


class Speechless(Exception):
    def __str__(self):
        raise RuntimeError("no words")


@pytest.mark.parametrize("batch_size", [None, 0])
def test_a_failure_that_cannot_say_what_it_is_is_told_by_its_class(batch_size):
    def it(_):
        raise Speechless

    assert plain(call(it, [("x",)], batch_size=batch_size)) == [
        f"{WHERE}Speechless: (its text cannot be had: RuntimeError)"
    ]


def test_a_generator_that_raises_is_called_again_with_the_instances_after():
    def it(instances):
        for (a,) in instances:
            if a == "bad":
                raise ValueError(a)
            yield a

    outcomes = call(it, [("a",), ("bad",), ("c",), ("bad",), ("e",)], batch_size=0)
    assert plain(outcomes) == [
        ("a",),
        WHERE + "ValueError: bad",
        ("c",),
        WHERE + "ValueError: bad",
        ("e",),
    ]


def test_a_batch_function_that_raises_fails_its_chunk_alone():
    def it(instances):
        if any(a == "bad" for (a,) in instances):
            raise ValueError("no")
        return [a for (a,) in instances]

    outcomes = call(it, [("a",), ("bad",), ("c",)], batch_size=2)
    assert plain(outcomes) == [WHERE + "ValueError: no"] * 2 + [("c",)]


def test_results_that_are_missing_fail_their_instances_and_surplus_is_ignored():
    short = call(lambda instances: ["a"], [("x",), ("y",)], batch_size=0)
    assert plain(short) == [("a",), WHERE + "1 results for 2 instances"]
    assert plain(call(lambda instances: ["a", "b", "c"], [("x",)], batch_size=0)) == [("a",)]


class LikeATensor:
    def asnumpy(self):
        return np.ones(2, np.int32)


@pytest.mark.parametrize(
    ("returned", "kind", "value"),
    [
        (True, "bool", True),
        (7, "int64", 7),
        (0.5, "float64", 0.5),
        (np.float32(2), "float32", 2.0),
        (np.arange(4, dtype=np.int16)[::2], "int16", [0, 2]),
        (LikeATensor(), "int32", [1, 1]),
    ],
)
def test_numbers_and_arrays_become_arrays_of_their_dtype(returned, kind, value):
    ((array,),) = call(lambda a: returned, [("x",)])
    assert array.dtype.name == kind
    assert array.tolist() == value
    assert array.flags.c_contiguous


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (None, "cannot serve a result of type NoneType"),
        ({"a": 1}, "cannot serve a result of type dict"),
        (np.array(["a"]), "dtype <U1 cannot be served"),
        (("a", "b"), "expected 1 outputs, got 2"),
        ("\udcff", "cannot serve text that is no Unicode: surrogates not allowed"),
    ],
)
def test_what_cannot_be_served_fails_that_instance(returned, reason):
    assert plain(call(lambda a: returned, [("x",)])) == [WHERE + reason]


def test_a_batch_function_that_returns_no_sequence_fails_its_instances():
    outcomes = call(lambda instances: 3, [("x",)], batch_size=0)
    assert plain(outcomes) == [WHERE + "expected a list, tuple or generator, got int"]


NO_MODELS = None


async def test_a_caller_who_leaves_before_its_turn_never_runs():
    gate, ran = threading.Event(), []
    blocking, noting = stage(lambda a: gate.wait(10)), stage(ran.append)
    async with task_scope() as scope:
        functions = FunctionStages(1, scope)

        def run(made, value):
            return functions.run(StageWork(0, None, made, WHERE, NO_MODELS, NOT_URGENT), [(value,)])

        try:
            first = asyncio.create_task(run(blocking, "x"))
            second = asyncio.create_task(run(noting, "y"))
            await asyncio.sleep(0)  # one turn of the loop: both have handed their work over
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            gate.set()
            assert plain(await first) == [(True,)]
            await run(blocking, "x")
            assert ran == []
        finally:
            gate.set()
            functions.close()
