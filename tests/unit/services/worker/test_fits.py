"""Methods against the models that were loaded for them."""

import pytest

from services.worker.servable.fits import check_fits
from shared.errors import LoadFailed
from shared.membership import ModelSignature, SubgraphSignature
from shared.servable import Method, ModelSpec, Servable
from shared.stage_graph import METHOD_INPUTS, ModelCall, Source, Stage, StageGraph
from shared.tensors import ElementType, TensorSpec

X = TensorSpec("x", ElementType.FLOAT32, (-1, 2))


def servable(inputs, outputs, subgraph=0):
    sources = tuple(Source(METHOD_INPUTS, n) for n in range(inputs))
    stage = Stage(ModelCall("m", subgraph), sources, outputs, "Model 'm'")
    names = tuple(f"x{n}" for n in range(inputs))
    method = Method("predict", names, ("y",), StageGraph(inputs, (stage,), (Source(0, 0),)))
    spec = ModelSpec("m", ("m",), "reference", True)
    return Servable("toy", {"predict": method}, {"m": spec})


def signatures(inputs=2, outputs=1):
    subgraph = SubgraphSignature((X,) * inputs, (X,) * outputs)
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
