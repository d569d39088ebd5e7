"""How a servable_config.py says how its models are batched and how long its methods may take."""

import re

import pytest

from shared.errors import LoadFailed
from shared.servable import Batching

METHOD = """
@register.register_method("y"{timeouts})
def same(x):
    return x
"""


def declared(servables, knobs="", timeouts=""):
    model = f'register.declare_model("m.mindir", "MindIR"{knobs})\n'
    return servables.declare(model + METHOD.format(timeouts=timeouts))


def test_what_is_not_said_is_left_to_the_settings(servables):
    servable = declared(servables)
    assert servable.models["m.mindir"].batching == Batching()
    method = servable.methods["same"]
    assert (method.timeout_seconds, method.max_timeout_seconds) == (None, None)


def test_knobs_are_recorded_and_sizes_put_in_order(servables):
    knobs = ", max_batch_size=64, preferred_batch_sizes=[32, 8], max_queue_delay_seconds=0"
    servable = declared(servables, knobs + ", priority_levels=4, default_priority_level=4")
    assert servable.models["m.mindir"].batching == Batching((8, 32), 64, 0, 4, 4)
    servable = declared(servables, ", preferred_batch_sizes=16")
    assert servable.models["m.mindir"].batching == Batching((16,))


def test_times_are_recorded(servables):
    method = declared(servables, timeouts=", timeout_seconds=1, max_timeout_seconds=2.5").methods
    assert (method["same"].timeout_seconds, method["same"].max_timeout_seconds) == (1, 2.5)


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        (
            "max_batch_size=2.0",
            "Parameter 'max_batch_size' should be int, but actually <class 'float'>",
        ),
        ("max_batch_size=0", "Parameter 'max_batch_size' should be >= 1"),
        (
            "preferred_batch_sizes='8'",
            "Parameter 'preferred_batch_sizes' should be int or tuple/list of int, but actually"
            " <class 'str'>",
        ),
        (
            "preferred_batch_sizes=[8, 0]",
            "The item value '0' in parameter 'preferred_batch_sizes' should be >= 1",
        ),
        (
            "preferred_batch_sizes=[8, 8]",
            "The item value '8' in parameter 'preferred_batch_sizes' should not be repeated",
        ),
        (
            "preferred_batch_sizes=[8, 65], max_batch_size=64",
            "The item value '65' in parameter 'preferred_batch_sizes' should be"
            " <= 'max_batch_size' 64",
        ),
        (
            "with_batch_dim=False, preferred_batch_sizes=8",
            "Parameters 'max_batch_size' and 'preferred_batch_sizes' need 'with_batch_dim':"
            " without it a whole tensor is one instance",
        ),
        (
            "max_queue_delay_seconds='1'",
            "Parameter 'max_queue_delay_seconds' should be float, but actually <class 'str'>",
        ),
        ("max_queue_delay_seconds=-1", "Parameter 'max_queue_delay_seconds' should be >= 0"),
        (
            "max_queue_delay_seconds=float('inf')",
            "Parameter 'max_queue_delay_seconds' should be >= 0",
        ),
        ("priority_levels=0", "Parameter 'priority_levels' should be >= 1"),
        ("default_priority_level=0", "Parameter 'default_priority_level' should be >= 1"),
        (
            "priority_levels=2, default_priority_level=3",
            "Parameter 'default_priority_level' should be <= 'priority_levels' 2, but actually 3",
        ),
    ],
)
def test_knobs_that_mean_nothing_are_refused(servables, knobs, words):
    with pytest.raises(LoadFailed, match=re.escape(f"RuntimeError: {words}")):
        declared(servables, f", {knobs}")


@pytest.mark.parametrize(
    ("timeouts", "words"),
    [
        ("timeout_seconds=0", "Parameter 'timeout_seconds' should be > 0"),
        (
            "max_timeout_seconds=True",
            "Parameter 'max_timeout_seconds' should be float, but actually <class 'bool'>",
        ),
        (
            "timeout_seconds=3, max_timeout_seconds=2",
            "Parameter 'timeout_seconds' should be <= 'max_timeout_seconds' 2, but actually 3",
        ),
    ],
)
def test_times_that_mean_nothing_are_refused(servables, timeouts, words):
    with pytest.raises(LoadFailed, match=re.escape(f"RuntimeError: {words}")):
        declared(servables, timeouts=f", {timeouts}")
