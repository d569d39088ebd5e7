"""A servable as a worker loads it: what its configuration finds, what is told of it."""

import os
import sys

import pytest

from services.worker.servable.loader import load
from services.worker.servable.wanted import Wanted
from shared.errors import LoadFailed
from shared.membership import ModelFiles
from shared.servable import DeviceOptions, Distribution, ModelOptions, ServableVersion
from tests.support.texts import add_language_model

CONFIG = """
import os

from mindspore_serving.server import register

context = register.Context(thread_num=2)
context.append_device_info(register.GPUDeviceInfo(precision_mode="fp16"))
register.declare_model("a.json", "Reference", context=context, config_file="lite.cfg")
register.declare_model("b.json", "Reference", max_batch_size=9)
output = "device" + os.environ["SERVING_DEVICE_ID"]


@register.register_method(output_names=output)
def same(x):
    return x
"""


@pytest.fixture
def load_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "options_of_models" / "1").mkdir(parents=True)
    (tmp_path / "options_of_models" / "servable_config.py").write_text(CONFIG)
    (tmp_path / "options_of_models" / "lite.cfg").touch()
    return lambda: load(tmp_path, Wanted("options_of_models", 0), max_batch_size=4)


@pytest.mark.parametrize("device", [None, "3"])
def test_a_configuration_finds_a_device_number(load_it, monkeypatch, device):
    monkeypatch.setenv("SERVING_DEVICE_ID", device or "gone afterwards")
    if device is None:
        monkeypatch.delenv("SERVING_DEVICE_ID")
    loaded = load_it()
    assert loaded.servable.methods["same"].output_names[0] == f"device{device or 0}"
    assert os.environ["SERVING_DEVICE_ID"] == (device or "0")


def test_options_of_a_model_reach_the_agents_that_must_load_it(load_it, tmp_path, monkeypatch):
    monkeypatch.setenv("SERVING_DEVICE_ID", "0")
    told, untold = (model.options for model in load_it().assigned.models)
    assert told == ModelOptions(
        thread_num=2,
        devices=(DeviceOptions("gpu", (("precision_mode", "fp16"),)),),
        config_file=str(tmp_path / "options_of_models" / "lite.cfg"),
    )
    assert untold == ModelOptions()


def test_a_model_that_declares_no_batch_size_has_the_workers(load_it, monkeypatch):
    monkeypatch.setenv("SERVING_DEVICE_ID", "0")
    assert [files.max_batch_size for files in load_it().assigned.models] == [4, 9]


DISTRIBUTED = """
from mindspore_serving.server import distributed, register

model = distributed.declare_servable(rank_size=4, stage_size=2, model_format="Reference")


@register.register_method("y")
def predict(x):
    return register.add_stage(model, x, outputs_count=1)
"""


@pytest.mark.parametrize(("wanted", "loaded"), [(0, 1), (1, 1), (7, 7)])
def test_a_distributed_servable_needs_no_version_folder(
    tmp_path, monkeypatch, load_it, wanted, loaded
):
    monkeypatch.setenv("SERVING_DEVICE_ID", "0")
    name = "cut_into_ranks"
    (tmp_path / name).mkdir()
    (tmp_path / name / "servable_config.py").write_text(DISTRIBUTED)
    found = load(tmp_path, Wanted(name, wanted), max_batch_size=4)
    assert found.what == ServableVersion(name, loaded)
    assert found.servable.distribution == Distribution(rank_size=4, stage_size=2)
    # Its agents know where the files are.
    assert found.assigned.models == (
        ModelFiles(name, "reference", (), True, without_batch_dim_inputs=(), max_batch_size=4),
    )


def test_a_language_model_comes_with_its_text_side(tmp_path):
    add_language_model(tmp_path, eos_ids=[3])
    loaded = load(tmp_path, Wanted("tiny"), max_batch_size=8)
    (files,) = loaded.assigned.models
    assert files.language.tokenizer == str(tmp_path / "tiny" / "tokenizer.json")
    assert loaded.language.eos_ids == {3}
    assert loaded.language.template is not None
    # The version's own goes before that of all versions.
    own = tmp_path / "tiny" / "1" / "tokenizer.json"
    own.write_text("no tokenizer")
    with pytest.raises(LoadFailed, match=r"servable 'tiny' version 1: tokenizer 'tokenizer.json'"):
        load(tmp_path, Wanted("tiny"), max_batch_size=8)
