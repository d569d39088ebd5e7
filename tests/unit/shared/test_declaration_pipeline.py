"""Pipelines of versions 1.3 and 1.4: what is recorded, and what is refused."""

import re

import pytest

from mindspore_serving.server.register import PipelineServable
from shared.errors import LoadFailed
from shared.method_calls import CalledMethod, call_method, methods_called_by

METHODS = """
@register.register_method("y")
def same(x):
    return x

@register.register_pipeline(["b", "a"])
def swap(a, b):
    raise AssertionError("a pipeline is not called while it is declared")
"""


def test_a_pipeline_is_a_method_and_hides_those_that_are_none(servables):
    servable = servables.declare(METHODS)
    assert list(servable.methods) == ["same", "swap"]
    assert list(servable.offered) == ["swap"]
    swap = servable.methods["swap"]
    assert (swap.is_pipeline, swap.input_names, swap.output_names) == (
        True, ("a", "b"), ("b", "a"),
    )  # fmt: skip
    assert not servable.methods["same"].is_pipeline
    # No process for Python stages is needed for it.
    assert not servable.has_functions


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            METHODS + "@register.register_pipeline('y')\ndef swap(x):\n    return x\n",
            "Pipeline swap has been registered more than once.",
        ),
        (
            METHODS + "@register.register_pipeline('y')\ndef any(*x):\n    return x\n",
            "'any' input x cannot be VAR_POSITIONAL !",
        ),
        ("register.register_pipeline(5)", "Parameter 'output_names' should be str or tuple/list"),
        (
            "register.register_pipeline(['a', 'a'])",
            "The item value 'a' in parameter 'output_names'",
        ),
        (
            "register.PipelineServable(1, 'm')",
            "Parameter 'servable_name' should be str, but actually <class 'int'>",
        ),
        ("register.PipelineServable('s', '')", "Parameter 'method' should not be empty str"),
        ("register.PipelineServable('s', 'm', -1)", "Parameter 'version_number' should be >= 0"),
        (
            "register.PipelineServable('s', 'm').run(1)",
            "PipelineServable(s.m).run() failed: it can only be called in a pipeline",
        ),
    ],
)
def test_what_is_wrong_is_refused_in_the_originals_words(servables, text, words):
    with pytest.raises(LoadFailed, match=re.escape(f"RuntimeError: {words}")):
        servables.declare(text)


class Echo:
    """Gives its inputs back."""

    def __init__(self):
        self.asked = []

    def call(self, called, instances):
        self.asked.append((called, [tuple(each) for each in instances]))
        return [tuple(each) for each in instances]


@pytest.mark.parametrize(
    ("args", "instances", "returned"),
    [
        ((1,), [(1,)], 1),
        ((1, 2), [(1, 2)], (1, 2)),
        (([1, 2],), [(1,), (2,)], [(1,), (2,)]),
        (([(1, 2), (3, 4)],), [(1, 2), (3, 4)], [(1, 2), (3, 4)]),
        (([1], 2), [([1], 2)], ([1], 2)),
    ],
)
def test_one_list_means_several_instances(args, instances, returned):
    echo = Echo()
    with methods_called_by(echo):
        assert PipelineServable("s", "m", 3).run(*args) == returned
    assert echo.asked == [(CalledMethod("s", "m", 3), instances)]


def test_after_a_pipeline_nobody_answers():
    with methods_called_by(Echo()):
        pass
    with pytest.raises(RuntimeError, match="can only be called in a pipeline"):
        call_method(CalledMethod("s", "m"), (1,))
