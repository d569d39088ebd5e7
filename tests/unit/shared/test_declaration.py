"""What a servable_config.py declares: models, and methods traced into stage graphs."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.servable import ModelSpec
from shared.stage_graph import METHOD_INPUTS, FunctionCall, ModelCall, Source, Stage, StageGraph

TENSOR_ADD = """
import numpy as np

def to_float32(x1, x2):
    return x1.astype(np.float32), x2.astype(np.float32)

model = register.declare_model(
    model_file="tensor_add.mindir", model_format="MindIR", with_batch_dim=False)

@register.register_method(output_names=["y"])
def add_common(x1, x2):
    y = register.add_stage(model, x1, x2, outputs_count=1)
    return y

@register.register_method(output_names=["y"])
def add_cast(x1, x2):
    x1, x2 = register.add_stage(to_float32, x1, x2, outputs_count=2)
    y = register.add_stage(model, x1, x2, outputs_count=1)
    return y
"""

ADD_SUB = """
add_model = register.declare_model(
    model_file="tensor_add.mindir", model_format="mindir", with_batch_dim=False)
sub_model = register.declare_model("tensor_sub.mindir", "MINDIR", with_batch_dim=False)

def one_more(instances):
    return [(instance[0] + 1,) for instance in instances]

@register.register_method(output_names="y")
def add_sub_only_model(x1, x2, x3):
    y = register.add_stage(add_model, x1, x2, outputs_count=1)
    return register.add_stage(sub_model, y, x3, outputs_count=1)

@register.register_method(output_names=("y",))
def add_sub_complex(x1, x2, x3):
    y = register.add_stage(add_model, x1, x2, outputs_count=1)
    y = register.add_stage(one_more, y, outputs_count=1, batch_size=2, tag="One more")
    y = register.add_stage(sub_model, y, x3, outputs_count=1)
    return register.add_stage(one_more, y, outputs_count=1, batch_size=0)
"""


def given_input(n):
    return Source(METHOD_INPUTS, n)


def model_stage(key, *inputs):
    return Stage(ModelCall(key), inputs, 1, f"Model '{key}'")


def test_tensor_add_traces_into_a_model_with_and_without_a_cast_before_it(servables):
    servable = servables.declare(TENSOR_ADD, "tensor_add")
    spec = ModelSpec("tensor_add.mindir", ("tensor_add.mindir",), "mindir", with_batch_dim=False)
    assert (servable.name, servable.models) == ("tensor_add", {"tensor_add.mindir": spec})
    common, cast = servable.methods["add_common"], servable.methods["add_cast"]
    assert (common.name, common.input_names, common.output_names) == (
        "add_common",
        ("x1", "x2"),
        ("y",),
    )
    add = model_stage("tensor_add.mindir", given_input(0), given_input(1))
    assert common.graph == StageGraph(2, (add,), (Source(0, 0),))
    function = cast.graph.stages[0].call.function
    assert function.__name__ == "to_float32"
    assert cast.graph == StageGraph(
        2,
        (
            Stage(
                FunctionCall("tensor_add.to_float32", function, None),
                (given_input(0), given_input(1)),
                2,
                "Function 'tensor_add.to_float32'",
            ),
            model_stage("tensor_add.mindir", Source(0, 0), Source(0, 1)),
        ),
        (Source(1, 0),),
    )


def test_add_sub_pipeline_traces_into_two_models_with_functions_between(servables):
    servable = servables.declare(ADD_SUB, "add_sub_pipeline")
    assert list(servable.models) == ["tensor_add.mindir", "tensor_sub.mindir"]
    assert {spec.format for spec in servable.models.values()} == {"mindir"}
    add = model_stage("tensor_add.mindir", given_input(0), given_input(1))
    plain, complex_ = (servable.methods[n].graph for n in ("add_sub_only_model", "add_sub_complex"))
    assert plain == StageGraph(
        3, (add, model_stage("tensor_sub.mindir", Source(0, 0), given_input(2))), (Source(1, 0),)
    )
    function, name = complex_.stages[1].call.function, "add_sub_pipeline.one_more"
    assert complex_ == StageGraph(
        3,
        (
            add,
            Stage(FunctionCall(name, function, 2), (Source(0, 0),), 1, "One more"),
            model_stage("tensor_sub.mindir", Source(1, 0), given_input(2)),
            Stage(FunctionCall(name, function, 0), (Source(2, 0),), 1, f"Function '{name}'"),
        ),
        (Source(3, 0),),
    )


def test_a_method_without_stages_passes_its_inputs_through(servables):
    servable = servables.declare("""
        @register.register_method(["b", "a"])
        def swap(a, b):
            return [b, a]
        assert swap(1, 2) == [2, 1], "the function itself is given back"
    """)
    assert servable.methods["swap"].graph == StageGraph(2, (), (given_input(1), given_input(0)))


def test_loops_and_conditions_of_a_method_run_while_it_is_traced(servables):
    servable = servables.declare("""
        @register.register_method("y")
        def thrice(x):
            for n in range(4):
                if n:
                    x = register.add_stage(abs, x, outputs_count=1)
            return x
    """)
    graph = servable.methods["thrice"].graph
    assert [stage.inputs for stage in graph.stages] == [
        (given_input(0),),
        (Source(0, 0),),
        (Source(1, 0),),
    ]


def test_several_files_are_one_model_and_index_0_may_lack_the_batch_dim(servables):
    servable = servables.declare("""
        model = register.declare_model(
            ["first.mindir", "sub/second.mindir"], "MindIR", without_batch_dim_inputs=0,
            options=None, context=None, config_file=None)
        assert model.model_key == "first.mindir;sub/second.mindir"
        other = register.declare_model("b", "OM", without_batch_dim_inputs=[1, 0])

        @register.register_method("y")
        def same(x):
            return x
    """)
    first, second = servable.models.values()
    assert first.files == ("first.mindir", "sub/second.mindir")
    assert (first.with_batch_dim, first.without_batch_dim_inputs) == (True, (0,))
    assert (second.format, second.without_batch_dim_inputs) == ("om", (1, 0))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.data())
def test_every_placeholder_leads_back_to_the_output_it_came_from(servables, counts, data):
    lines, names, expected = [], ["x"], {"x": given_input(0)}
    for stage, count in enumerate(counts):
        made = [f"s{stage}_{n}" for n in range(count)]
        used = data.draw(st.sampled_from(names))
        # A function of its own: one function must be used alike everywhere.
        call = f"register.add_stage(lambda v: v, {used}, outputs_count={count})"
        lines.append(f"    {', '.join(made)} = {call}")
        names += made
        expected |= {name: Source(stage, n) for n, name in enumerate(made)}
    returned = data.draw(st.lists(st.sampled_from(names), min_size=1))
    outputs = [f"y{n}" for n in range(len(returned))]
    body = [f"@register.register_method({outputs})", "def method(x):", *lines]
    servable = servables.declare("\n".join([*body, f"    return {', '.join(returned)}"]))
    assert servable.methods["method"].graph.outputs == tuple(expected[n] for n in returned)


def test_two_functions_of_one_name_are_two(servables):
    servable = servables.declare("""
        @register.register_method("y")
        def method(x):
            y = register.add_stage(lambda a: a, x, outputs_count=1)
            return register.add_stage(lambda a, b: a, x, y, outputs_count=1)
    """)
    stages = servable.methods["method"].graph.stages
    assert [stage.call.name for stage in stages] == ["add.<lambda>", "add.<lambda>"]
    assert stages[0].call.function is not stages[1].call.function
