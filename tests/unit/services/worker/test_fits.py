"""Methods against the models that were loaded for them."""

import pytest

from services.worker.servable.fits import check_fits
from shared.errors import LoadFailed
from shared.membership import ModelSignature, SubgraphSignature
from shared.servable import Batching, Method, ModelSpec, Servable
from shared.stage_graph import METHOD_INPUTS, ModelCall, Source, Stage, StageGraph
from shared.tensors import ElementType, TensorSpec

X = TensorSpec("x", ElementType.FLOAT32, (-1, 2))


FOURS = TensorSpec("x", ElementType.FLOAT32, (4, 2))


def servable(inputs, outputs, subgraph=0, **batching):
    sources = tuple(Source(METHOD_INPUTS, n) for n in range(inputs))
    stage = Stage(ModelCall("m", subgraph), sources, outputs, "Model 'm'")
    names = tuple(f"x{n}" for n in range(inputs))
    method = Method("predict", names, ("y",), StageGraph(inputs, (stage,), (Source(0, 0),)))
    spec = ModelSpec("m", ("m",), "reference", True, batching=Batching(**batching))
    return Servable("toy", {"predict": method}, {"m": spec})


def signatures(inputs=2, outputs=1, spec=X):
    subgraph = SubgraphSignature((spec,) * inputs, (spec,) * outputs)
    return {"m": ModelSignature("m", (subgraph,), 4)}


def test_a_method_that_fits_passes():
    check_fits(servable(2, 1), signatures())


@pytest.mark.parametrize(
    ("wrong", "loaded", "reason"),
    [
        (servable(3, 1), signatures(), "The inputs count 3 in register_method not equal to the"),
        (servable(2, 2), signatures(), "The outputs count 2 in register_method not equal to the"),
        (servable(2, 1, 1), signatures(), "there is no subgraph 1, only 1"),
        (servable(2, 1), {}, "the agent did not load this model"),
    ],
)
def test_a_method_that_does_not_fit_is_named(wrong, loaded, reason):
    with pytest.raises(LoadFailed, match=reason) as refused:
        check_fits(wrong, loaded)
    assert "servable 'toy', method 'predict', model 'm'" in refused.value.message


def test_batch_sizes_that_a_dynamic_model_can_have_pass():
    check_fits(servable(2, 1, max_batch_size=4, preferred_batch_sizes=(2, 4)), signatures())


@pytest.mark.parametrize(
    ("declared", "spec", "reason"),
    [
        ({"max_batch_size": 2}, FOURS, "max_batch_size 2 is declared, but the batch size is 4 in"),
        ({"preferred_batch_sizes": (2,)}, FOURS, "preferred_batch_sizes 2 is declared, but the"),
        (
            {"preferred_batch_sizes": (2, 8)},
            X,
            "preferred_batch_sizes 8 is declared, but the batch size is at most 4",
        ),
    ],
)
def test_batch_sizes_that_a_model_cannot_have_are_named(declared, spec, reason):
    with pytest.raises(LoadFailed, match=reason) as refused:
        check_fits(servable(2, 1, **declared), signatures(spec=spec))
    assert "servable 'toy', model 'm'" in refused.value.message
