"""The interfaces before add_stage: which graphs they give, and what they refuse."""

import re

import pytest

from shared.errors import LoadFailed
from shared.stage_graph import METHOD_INPUTS, FunctionCall, ModelCall, Source, Stage, StageGraph

DECLARED = """
def pre(x):
    return x, x

def pre_pipeline(instances):
    for instance in instances:
        yield instance[0], instance[0]

def post(y):
    return y

register.declare_servable("net.mindir", "MindIR")
"""
SUBGRAPHS = 'register.declare_servable(["a.mindir", "b.mindir"], "MindIR")\n'


def method(*lines, inputs="x", outputs="'y'"):
    header = f"\n@register.register_method({outputs})\ndef m({inputs}):\n"
    return header + "".join(f"    {line}\n" for line in lines)


def refused(servables, text):
    with pytest.raises(LoadFailed) as failure:
        servables.declare(text)
    text = failure.value.message.removeprefix("import add.servable_config failed, RuntimeError: ")
    return re.sub(r" \(servable_config\.py, line \d+\)$", "", text)


def stages_of(servables, text):
    return servables.declare(text).methods["m"].graph.stages


def test_preprocess_servable_and_postprocess_are_three_stages(servables):
    servable = servables.declare(
        DECLARED
        + method(
            '"""With a docstring."""',
            "a, b = register.call_preprocess(pre, x)",
            "y = register.call_servable(a, b)",
            "y = register.call_postprocess(post, y)",
            "return y, b",
            outputs="['y', 'b']",
        )
    )
    graph = servable.methods["m"].graph
    before, after = (graph.stages[index].call.function for index in (0, 2))
    assert graph == StageGraph(
        1,
        (
            Stage(
                FunctionCall("add.pre", before, None),
                (Source(METHOD_INPUTS, 0),),
                2,
                "Preprocess",
            ),
            Stage(ModelCall("net.mindir"), (Source(0, 0), Source(0, 1)), 1, "Model 'net.mindir'"),
            Stage(FunctionCall("add.post", after, None), (Source(1, 0),), 1, "Postprocess"),
        ),
        (Source(2, 0), Source(0, 1)),
    )


def test_a_pipeline_function_gets_all_instances_at_hand(servables):
    stages = stages_of(
        servables,
        DECLARED
        + method(
            "[a, b] = register.call_preprocess_pipeline(pre_pipeline, x)",
            "y = register.call_servable(a, b)",
            "y, z = register.call_postprocess_pipeline(pre_pipeline, y)",
            "return y",
        ),
    )
    assert [getattr(stage.call, "batch_size", "model") for stage in stages] == [0, "model", 0]
    assert [stage.tag for stage in stages] == ["Preprocess", "Model 'net.mindir'", "Postprocess"]


def test_a_call_that_is_returned_at_once_has_the_methods_outputs(servables):
    (stage,) = stages_of(
        servables, DECLARED + method("return register.call_servable(x)", outputs="['y', 'z']")
    )
    assert stage.outputs_count == 2


def test_functions_may_be_imported_by_name_and_be_builtin(servables):
    servables.write("add/other.py", "")
    stages = stages_of(
        servables,
        "from mindspore_serving.server.register import call_postprocess, call_servable\n"
        + DECLARED
        + method("y = call_servable(x)", "y = call_postprocess('argmax_cpp', y)", "return y"),
    )
    assert stages[1].call.name == "argmax_cpp"
    found = stages[1].call.function([[1, 5], [2, 3]])
    assert (found.tolist(), found.dtype.name, found.shape) == (1, "int64", ())


def test_a_subgraph_is_chosen_by_its_index(servables):
    servable = servables.declare(
        SUBGRAPHS
        + method("y = register.call_servable(x, subgraph=1)", "return y")
        + method("return register.call_servable(x, x)").replace("def m", "def both")
    )
    (one,), (both,) = (servable.methods[name].graph.stages for name in ("m", "both"))
    assert (one.call, one.tag) == (
        ModelCall("a.mindir;b.mindir", 1),
        "Model 'a.mindir;b.mindir', subgraph 1",
    )
    assert both.call == ModelCall("a.mindir;b.mindir", 0), "each subgraph has counts of its own"


CALLED = "y = register.call_servable(x)"
PRE = "a, b = register.call_preprocess(pre, x)"
PRE_PIPELINE = "a, b = register.call_preprocess_pipeline(pre_pipeline, x)"
POST = "z = register.call_postprocess(post, x)"
COMPLEX = (
    "Failed to parse method 'm', complex statements such as conditions and loops are not supported"
    " in register_method when the interface 'call_servable' is used, use 'add_stage' to replace"
    " 'call_servable'"
)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            [PRE, PRE_PIPELINE, CALLED],
            "call_preprocess or call_preprocess_pipeline should not be invoked more than once",
        ),
        ([CALLED, CALLED], "call_servable should not be invoked more than once"),
        (
            [CALLED, POST, POST],
            "call_postprocess or call_postprocess_pipeline should not be invoked more than once",
        ),
        ([CALLED, PRE], "call_servable should be invoked after call_preprocess"),
        ([CALLED, PRE_PIPELINE], "call_servable should be invoked after call_preprocess_pipeline"),
        (
            [POST, PRE],
            "call_postprocess or call_postprocess_pipeline should be invoked after call_preprocess",
        ),
        (
            [POST, CALLED],
            "call_postprocess or call_postprocess_pipeline should be invoked after call_servable",
        ),
        (
            [CALLED, "y = register.add_stage(post, y, outputs_count=1)"],
            "'add_stage' and 'call_servable' cannot be used in one method, use 'add_stage' to"
            " replace 'call_servable'",
        ),
        (
            ["y = register.add_stage(post, x, outputs_count=1)", CALLED],
            "'add_stage' and 'call_servable' cannot be used in one method, use 'add_stage' to"
            " replace 'call_servable'",
        ),
    ],
)
def test_the_order_is_preprocess_servable_postprocess_each_once(servables, lines, words):
    text = refused(servables, DECLARED + method(*lines, "return x"))
    assert text == f"Check failed in method 'm', {words}"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([PRE, "return a"], "Not find the invoke of 'call_servable'"),
        (["if True:", f"    {CALLED}", "return y"], COMPLEX),
        (["for _ in range(1):", f"    {CALLED}", "return y"], COMPLEX),
        (["y = [register.call_servable(x)][0]", "return y"], COMPLEX),
        (["y, *z = register.call_servable(x)", "return y"], COMPLEX),
        (["y = register.call_servable(5)", "return y"], "Each value of parameter *args is a"),
        (
            ["y = register.call_servable(x, subgraph=1)", "return y"],
            "The model does not have subgraph of index 1, the subgraph count of the model is 1",
        ),
        (
            ["y = register.call_servable(x, subgraph=-1)", "return y"],
            "Parameter 'subgraph' should be >= 0",
        ),
        (
            ["y = register.call_servable(x, subgraph='1')", "return y"],
            "Parameter 'subgraph' should be int, but actually <class 'str'>",
        ),
        (
            ["a = register.call_preprocess(5, x)", CALLED, "return y"],
            "Check failed in method 'm', the parameter 'stage' of add_stage must be function",
        ),
        (
            ["a = register.call_preprocess('crop_cpp', x)", CALLED, "return y"],
            "Check failed in method 'm', the parameter 'stage' of add_stage must be function or"
            " Model returned by declare_model, there is no builtin function 'crop_cpp'",
        ),
    ],
)
def test_what_an_older_method_cannot_say_is_refused(servables, lines, words):
    assert refused(servables, DECLARED + method(*lines)).startswith(words)


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ("", "There is no model declared, you can use declare_model to declare models."),
        (
            DECLARED + 'register.declare_servable("b.mindir", "MindIR")\n',
            "There are more than one servable declared when the interface 'call_servable' is used,"
            " use 'add_stage' to replace 'call_servable'",
        ),
    ],
)
def test_call_servable_means_the_only_model(servables, declared, words):
    assert refused(servables, declared + method(CALLED, "return y")) == words


def test_a_method_without_source_is_told_so(servables):
    made = method(CALLED, "return y")
    text = refused(servables, DECLARED + f"exec({made!r})")
    assert text == (
        "Failed to parse method 'm', its source cannot be read, use 'add_stage' to replace"
        " 'call_servable'"
    )


@pytest.mark.parametrize("interface", ["call_servable", "call_preprocess", "call_postprocess"])
def test_the_older_interfaces_belong_into_a_method(servables, interface):
    text = refused(servables, DECLARED + f"register.{interface}(pre)")
    assert text == f"{interface} can only be called in a function given to register_method"
