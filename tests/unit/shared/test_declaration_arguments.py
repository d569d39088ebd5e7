"""What a servable_config.py is told when what it declares is wrong."""

import re

import pytest

from shared.errors import LoadFailed

MODEL = "add = register.declare_model('add.mindir', 'MindIR')\n"
FUNCTIONS = """
def two(a, b):
    return a, b

def batch(instances):
    return instances
"""
PLACEHOLDER = (
    "is a placeholder for data and must come from the method inputs or the outputs of add_stage"
)


def method(*lines, inputs="x1, x2", outputs="'y'", name="m"):
    header = f"\n@register.register_method({outputs})\ndef {name}({inputs}):\n"
    return header + "".join(f"    {line}\n" for line in lines)


def refused(servables, text):
    with pytest.raises(LoadFailed) as failure:
        servables.declare(text)
    prefix = "import add.servable_config failed, "
    assert failure.value.message.startswith(prefix)
    return re.sub(r" \(servable_config\.py, line \d+\)$", "", failure.value.message[len(prefix) :])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("[], 'MindIR'", "Declare model failed, model file cannot be empty"),
        ("'', 'MindIR'", "The item of parameter 'model_file' should not be empty str"),
        (
            "1, 'MindIR'",
            "Parameter 'model_file' should be str or tuple/list of str, but actually <class 'int'>",
        ),
        (
            "['a', 1], 'MindIR'",
            "The item of parameter 'model_file' should be str, but actually <class 'int'>",
        ),
        (
            "['a', 'a'], 'MindIR'",
            "The item value 'a' in parameter 'model_file' should not be repeated",
        ),
        (
            "'a/../../b', 'MindIR'",
            "Declare model a/../../b failed, model file 'a/../../b' must lie in the version"
            " directory",
        ),
        ("'a', 'tflite'", "model format can only be OM, MindIR or MindIR_Lite, case ignored"),
        ("'a', None", "Parameter 'model_format' should be str, but actually <class 'NoneType'>"),
        ("'a', 'OM', 1", "Parameter 'with_batch_dim' should be bool, but actually <class 'int'>"),
        (
            "'a', 'OM', without_batch_dim_inputs='0'",
            "Parameter 'without_batch_dim_inputs' should be int or tuple/list of int,"
            " but actually <class 'str'>",
        ),
        (
            "'a', 'OM', without_batch_dim_inputs=[0, 1.0]",
            "The item value '1.0' in parameter 'without_batch_dim_inputs' should be int,"
            " but actually <class 'float'>",
        ),
        (
            "'a', 'OM', without_batch_dim_inputs=True",
            "The item value 'True' in parameter 'without_batch_dim_inputs' should be int,"
            " but actually <class 'bool'>",
        ),
        (
            "'a', 'OM', without_batch_dim_inputs=-1",
            "The item value '-1' in parameter 'without_batch_dim_inputs' should be >= 0",
        ),
        (
            "'a', 'OM', without_batch_dim_inputs=(1, 1)",
            "The item value '1' in parameter 'without_batch_dim_inputs' should not be repeated",
        ),
        (
            "'a', 'OM', options=1",
            "Parameter 'options' should be None, GpuOptions or AclOptions, but gotten"
            " <class 'int'>",
        ),
        (
            "'a', 'OM', context=1",
            "Parameter 'context' should be Context, but gotten <class 'int'>",
        ),
        (
            "'a', 'OM', config_file='c.ini'",
            "Declare model a failed, config file 'c.ini' does not exist in the folder of servable"
            " 'add'",
        ),
        (
            "['new.mindir', 'add.mindir'], 'OM'",
            "Declare model new.mindir;add.mindir failed,"
            " model file 'add.mindir' has already been used",
        ),
    ],
)
def test_a_wrong_model_is_refused_in_the_originals_words(servables, call, words):
    declaration = f"{MODEL}register.declare_model({call})"
    assert refused(servables, declaration) == f"RuntimeError: {words}"


def test_one_file_whose_name_reads_like_two_is_the_same_model(servables):
    assert refused(
        servables,
        "register.declare_model(['a', 'b'], 'OM')\nregister.declare_model('a;b', 'OM')",
    ) == ("RuntimeError: Declare model a;b failed, the same model has already been declared")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["return register.add_stage(two, x1, 5, outputs_count=2)"], "Each value of parameter"),
        (["return x1, 5"], f"Each value returned {PLACEHOLDER}"),
        (["pass"], f"Each value returned {PLACEHOLDER}"),
        (["return x1, x2"], "Method return output size 2 not match registered 1"),
        (["return register.add_stage(add, x1, outputs_count=0)"], "Parameter 'outputs_count'"),
        (
            ["return register.add_stage(5, x1, outputs_count=1)"],
            "Check failed in method 'm', the parameter 'stage' of add_stage must be function or"
            " Model returned by declare_model, now is <class 'int'>",
        ),
        (
            ["return register.add_stage(register.Model('b'), x1, outputs_count=1)"],
            "Check failed in method 'm', the parameter 'stage' of add_stage must be function or"
            " Model returned by declare_model, but the model 'b' is not declared",
        ),
        (
            ["return register.add_stage(two, x1, x2, x1, outputs_count=1)"],
            "function two input args count 2 not match the count 3 registered in method",
        ),
        (
            ["return register.add_stage(two, x1, x2, outputs_count=1, batch_size=4)"],
            "function two input args count 2 not match the count 1: with 'batch_size' it gets one"
            " argument, the instances",
        ),
        (
            ["return register.add_stage(batch, x1, outputs_count=1, batch_size=-1)"],
            "Parameter 'batch_size' should be >= 0",
        ),
        (
            ["return register.add_stage(batch, x1, outputs_count=1, batch_size='2')"],
            "Parameter 'batch_size' should be int, but actually <class 'str'>",
        ),
        (
            ["return register.add_stage(add, x1, outputs_count=1, tag=1)"],
            "Parameter 'tag' should be str, but actually <class 'int'>",
        ),
        (
            ["return register.add_stage(add, x1, outputs_count=1, tag='')"],
            "Parameter 'tag' should not be empty str",
        ),
        (
            ["return register.add_stage(two, x1, x1, outputs_count=1, tag='')"],
            "Parameter 'tag' should not be empty str",
        ),
        (
            [
                "y = register.add_stage(add, x1, x2, outputs_count=1)",
                "return register.add_stage(add, y, outputs_count=1)",
            ],
            "RegisterInputOutputInfo failed, inputs count 1 not match old count 2,"
            " model: add.mindir",
        ),
        (
            [
                "y, z = register.add_stage(add, x1, x2, outputs_count=2)",
                "return register.add_stage(add, y, z, outputs_count=1)",
            ],
            "RegisterInputOutputInfo failed, outputs count 1 not match old count 2,"
            " model: add.mindir",
        ),
        (
            [
                "y = register.add_stage(batch, x1, x2, outputs_count=1, batch_size=4)",
                "return register.add_stage(batch, x1, x2, y, outputs_count=1, batch_size=4)",
            ],
            "Stage function 'add.batch' inputs count 3 not match last registered count 2,"
            " method name 'm'",
        ),
        (
            [
                "y = register.add_stage(batch, x1, outputs_count=1, batch_size=4)",
                "y, z = register.add_stage(batch, x1, outputs_count=2, batch_size=4)",
            ],
            "Stage function 'add.batch' outputs count 2 not match last registered count 1,"
            " method name 'm'",
        ),
    ],
)
def test_a_wrong_stage_is_refused_in_the_originals_words(servables, lines, words):
    text = refused(servables, MODEL + FUNCTIONS + method(*lines))
    assert text.startswith(f"RuntimeError: {words}")


def test_python_itself_says_when_outputs_do_not_fit_their_names(servables):
    three = "a, b = register.add_stage(two, x1, x2, outputs_count=3)"
    one = "a, b = register.add_stage(two, x1, x2, outputs_count=1)"
    assert refused(servables, FUNCTIONS + method(three)) == (
        "ValueError: too many values to unpack (expected 2)"
    )
    assert refused(servables, FUNCTIONS + method(one)) == (
        "TypeError: cannot unpack non-iterable _TensorDef object"
    )


@pytest.mark.parametrize(
    ("inputs", "kind"),
    [("x, *y", "VAR_POSITIONAL"), ("x, **y", "VAR_KEYWORD"), ("x, *, y", "KEYWORD_ONLY")],
)
def test_a_method_takes_plain_inputs_only(servables, inputs, kind):
    text = refused(servables, method("return x", inputs=inputs))
    assert text == f"RuntimeError: 'm' input y cannot be {kind} !"


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ("['y', 'y']", "The item value 'y' in parameter 'output_names' should not be repeated"),
        ("['']", "The item of parameter 'output_names' should not be empty str"),
        ("{'y'}", "Parameter 'output_names' should be str or tuple/list of str, but actually"),
    ],
)
def test_output_names_are_distinct_texts(servables, outputs, words):
    text = refused(servables, method("return x1, x2", outputs=outputs))
    assert text.startswith(f"RuntimeError: {words}")


def test_a_method_is_registered_once(servables):
    text = refused(servables, method("return x1") * 2)
    assert text == "RuntimeError: Method m has been registered more than once."


def test_a_function_is_used_with_batch_size_everywhere_or_nowhere(servables):
    # Both methods have one name, and the original still speaks of batch_size.
    plain = method("return register.add_stage(two, x1, x2, outputs_count=1)")
    batched = method("return register.add_stage(two, x1, x2, outputs_count=1, batch_size=4)")
    assert refused(servables, FUNCTIONS + plain + batched) == (
        "RuntimeError: Failed to add stage function add.two: parameter 'batch_size' in multiple"
        " 'add_stage' should be enabled or disabled consistently"
    )


def test_a_placeholder_of_another_method_is_refused(servables):
    keep = method("kept.append(x1)", "return x1", name="keep")
    text = refused(servables, "kept = []\n" + keep + method("return kept[0]"))
    assert text == f"RuntimeError: Each value returned {PLACEHOLDER}"


def test_a_stage_outside_of_a_method_is_refused(servables):
    text = refused(
        servables, MODEL + method("return x1") + "register.add_stage(add, outputs_count=1)"
    )
    assert text.startswith("RuntimeError: add_stage can only be called in a function given to")


def test_a_servable_without_methods_is_refused(servables):
    with pytest.raises(LoadFailed, match=r"^There is no method registered for servable 'add'$"):
        servables.declare(MODEL)
