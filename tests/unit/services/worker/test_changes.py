"""What functions change in place: watched where somebody reads it after them."""

import numpy as np
from hypothesis import given
from hypothesis.extra import numpy as hnp

from services.worker.graph.plan import plan_of
from services.worker.stages.changes import Changes, changed
from shared.errors import StageFailed
from shared.servable import Method
from shared.stage_graph import METHOD_INPUTS, FunctionCall, ModelCall, Source, Stage, StageGraph

X, Y = (Source(METHOD_INPUTS, number) for number in range(2))


def function(*inputs):
    return Stage(FunctionCall("toy.f", len, None), inputs, 1, "f")


def test_inputs_are_read_again_by_later_stages_and_by_who_gets_the_answer():
    model = Stage(ModelCall("m.json"), (X, Y), 1, "m")
    stages = (function(X, Y), function(Source(0, 0), X), model, function(Y, X))
    plan = plan_of(Method("it", ("x", "y"), ("a", "b"), StageGraph(2, stages, (Source(1, 0), Y))))
    assert [stage.read_again for stage in plan.stages] == [(0, 1), (1,), (), (0,)]


def test_what_was_changed_stands_behind_the_outputs():
    instances = [(np.zeros(2), "text", np.full(2, np.nan)) for _ in range(3)]
    changes = Changes(instances, (0, 1, 2))
    instances[0][0][0] = 1
    instances[2][2].shape = (2, 1)
    first = changes.behind([("out",)])
    failed, last = changes.behind([StageFailed("no"), ("out",)])
    assert isinstance(failed, StageFailed)
    ((out, *behind),) = first
    assert out == "out"
    assert {n: value.tolist() for n, value in changed(behind, (0, 1, 2)).items()} == {0: [1, 0]}
    assert list(changed(last[1:], (0, 1, 2))) == [2]
    assert changed((), (0, 1, 2)) == {}


@given(hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, min_side=0)))
def test_what_nobody_touched_is_unchanged(array):
    assert changed(Changes([(array,)], (0,)).behind([()])[0], (0,)) == {}
