"""The declaration of a model that is cut into ranks."""

import re

import pytest

from shared.errors import LoadFailed
from shared.servable import Batching, DeviceOptions, Distribution, ModelOptions, ModelSpec
from shared.stage_graph import METHOD_INPUTS, ModelCall, Source

IMPORTS = "from mindspore_serving.server import distributed\n"
DECLARED = IMPORTS + "model = distributed.declare_servable(rank_size=8, stage_size=1)\n"
METHOD = """
@register.register_method("y")
def predict(x):
    {}
    return y
"""
AS_STAGE = METHOD.format("y = register.add_stage(model, x, outputs_count=1)")
OLD = METHOD.format("y = register.call_servable(x)")


def refused(servables, text):
    with pytest.raises(LoadFailed) as failure:
        servables.declare(text, "matmul")
    return re.sub(
        r" \(servable_config\.py, line \d+\)$",
        "",
        failure.value.message.removeprefix("import matmul.servable_config failed, RuntimeError: "),
    )


@pytest.mark.parametrize("method", [AS_STAGE, OLD])
def test_the_model_has_the_servables_name_and_no_files(servables, method):
    servable = servables.declare(DECLARED + method, "matmul")
    assert dict(servable.models) == {
        "matmul": ModelSpec("matmul", (), "mindir", with_batch_dim=True, distribution=EIGHT)
    }
    assert servable.distribution == EIGHT
    (stage,) = servable.methods["predict"].graph.stages
    assert stage.call == ModelCall("matmul")
    assert stage.inputs == (Source(METHOD_INPUTS, 0),)
    assert stage.tag == "Model 'matmul'"


EIGHT = Distribution(rank_size=8, stage_size=1)


def test_what_is_said_of_it_is_recorded(servables):
    servable = servables.declare(
        IMPORTS
        + """
context = register.Context(thread_num=2)
context.append_device_info(register.GPUDeviceInfo(precision_mode="fp16"))
distributed.declare_servable(
    16, 2, True, [1], True, model_format="Reference", relay_stages=False, context=context,
    max_batch_size=8, preferred_batch_sizes=[8, 4], max_queue_delay_seconds=0,
    priority_levels=2, default_priority_level=1)
"""
        + OLD,
        "matmul",
    )
    assert servable.models["matmul"] == ModelSpec(
        "matmul",
        (),
        "reference",
        True,
        (1,),
        ModelOptions(thread_num=2, devices=(DeviceOptions("gpu", (("precision_mode", "fp16"),)),)),
        Batching((4, 8), 8, 0, 2, 1),
        Distribution(16, 2, enable_pipeline_infer=True, relay_stages=False),
    )


def test_the_name_before_1_3_declares_the_same(servables):
    old = DECLARED.replace("server", "worker", 1).replace(
        "declare_servable", "declare_distributed_servable"
    )
    servable = servables.declare(old + AS_STAGE, "matmul")
    assert servable.distribution == EIGHT


def test_subgraphs_are_chosen_by_number(servables):
    """How many there are is known when agents have loaded them."""
    servable = servables.declare(
        DECLARED + METHOD.format("y = register.call_servable(x, subgraph=3)"), "matmul"
    )
    (stage,) = servable.methods["predict"].graph.stages
    assert stage.call == ModelCall("matmul", 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("rank_size=0, stage_size=1", "Parameter 'rank_size' should be >= 1"),
        ("True, 1", "Parameter 'rank_size' should be int, but actually <class 'bool'>"),
        ("'8', 1", "Parameter 'rank_size' should be int, but actually <class 'str'>"),
        ("8, 0", "Parameter 'stage_size' should be >= 1"),
        ("8, 1.0", "Parameter 'stage_size' should be int, but actually <class 'float'>"),
        (
            "8, 3",
            "Rank size must be an integral multiple of stage size, rank size: 8, stage size: 3",
        ),
        ("8, 1, 1", "Parameter 'with_batch_dim' should be bool, but actually <class 'int'>"),
        (
            "8, 1, without_batch_dim_inputs='a'",
            "Parameter 'without_batch_dim_inputs' should be int or tuple/list of int, but actually"
            " <class 'str'>",
        ),
        (
            "8, 1, without_batch_dim_inputs=[-1]",
            "The item value '-1' in parameter 'without_batch_dim_inputs' should be >= 0",
        ),
        (
            "8, 1, enable_pipeline_infer=1",
            "Parameter 'enable_pipeline_infer' should be bool, but actually <class 'int'>",
        ),
        (
            "8, 1, relay_stages='yes'",
            "Parameter 'relay_stages' should be bool, but actually <class 'str'>",
        ),
        (
            "8, 1, model_format='TorchScript'",
            "model format can only be OM, MindIR or MindIR_Lite, case ignored",
        ),
        (
            "8, 1, False, max_batch_size=4",
            "Parameters 'max_batch_size' and 'preferred_batch_sizes' need 'with_batch_dim': without"
            " it a whole tensor is one instance",
        ),
        (
            "8, 1, options={}",
            "Parameter 'options' should be None, GpuOptions or AclOptions, but gotten"
            " <class 'dict'>",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_the_originals_words(servables, arguments, words):
    text = f"{IMPORTS}distributed.declare_servable({arguments})\n"
    assert refused(servables, text) == words


def test_a_servable_has_one_distributed_model_and_no_other(servables):
    local = 'register.declare_model("net.mindir", "MindIR")\n'
    assert refused(servables, DECLARED + DECLARED) == (
        "Declare distributed model failed, servable is repeatedly been declared as distributed"
        " servable"
    )
    assert refused(servables, local + DECLARED) == (
        "Declare distributed model failed, servable has already been declared as local servable"
    )
    assert refused(servables, DECLARED + local) == (
        "Declare model failed, servable has already been declared as distributed servable"
    )
