"""A servable as a worker loads it: what its configuration finds, what is told of it."""

import os
import sys

import pytest
from structlog.testing import capture_logs

from services.worker.servable.loader import load
from services.worker.servable.wanted import Wanted

CONFIG = """
import os

from mindspore_serving.server import register

context = register.Context(thread_num=2)
context.append_device_info(register.GPUDeviceInfo(precision_mode="fp16"))
register.declare_model("a.json", "Reference", context=context)
register.declare_model("b.json", "Reference")
output = "device" + os.environ["SERVING_DEVICE_ID"]


@register.register_method(output_names=output)
def same(x):
    return x
"""


@pytest.fixture
def output_of(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "options_of_models" / "1").mkdir(parents=True)
    (tmp_path / "options_of_models" / "servable_config.py").write_text(CONFIG)

    def load_it():
        loaded = load(tmp_path, Wanted("options_of_models", 0), max_batch_size=4)
        return loaded.servable.methods["same"].output_names[0]

    return load_it


@pytest.mark.parametrize("device", [None, "3"])
def test_a_configuration_finds_a_device_number(output_of, monkeypatch, device):
    monkeypatch.setenv("SERVING_DEVICE_ID", device or "gone afterwards")
    if device is None:
        monkeypatch.delenv("SERVING_DEVICE_ID")
    assert output_of() == f"device{device or 0}"
    assert os.environ["SERVING_DEVICE_ID"] == (device or "0")


def test_options_that_no_backend_acts_on_are_told_of(output_of, monkeypatch):
    monkeypatch.setenv("SERVING_DEVICE_ID", "0")
    with capture_logs() as said:
        output_of()
    assert said == [
        {
            "event": "model options without effect",
            "log_level": "warning",
            "model": "a.json",
            "options": ("thread_num", "gpu precision_mode"),
        }
    ]
