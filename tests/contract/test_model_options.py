"""What declare_model was told of threads and devices, in real device processes."""

import json
import os
from dataclasses import replace

import numpy as np
import psutil
import pytest
from structlog.testing import capture_logs

from shared.decryption import DecryptionKey
from shared.errors import LoadFailed
from shared.membership import Device, ModelFiles
from shared.servable import DeviceOptions, ModelOptions
from tests.device.onnx_models import write_models
from tests.support import lite
from tests.support.devices import held, loader

SPEC = {"name": "x1", "dtype": "float32", "dims": [-1, 2]}
FP16 = DeviceOptions("cpu", (("precision_mode", "fp16"),))
EVERYTHING = ModelOptions(
    thread_num=1,
    thread_affinity_core_list=(min(os.sched_getaffinity(0)),),
    enable_parallel=True,
    devices=(FP16, DeviceOptions("gpu", (("precision_mode", "fp16"),))),
)


def toy(folder, ending="reference", name="toy"):
    path = folder / f"{name}.{ending}"
    path.write_text(json.dumps({"function": "double", "inputs": [SPEC], "outputs": [SPEC]}))
    return ModelFiles(path.name, "reference", (str(path),), True, (), 8)


@pytest.fixture(scope="module")
def onnx(tmp_path_factory):
    folder = write_models(tmp_path_factory.mktemp("onnx"))
    return ModelFiles("add", "onnx", (str(folder / "add.onnx"),), True, (), 8)


def device_process():
    (found,) = [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE and "services.agent.device" in child.cmdline()
    ]
    return found


async def test_onnx_runtime_works_with_as_many_threads_as_it_was_told(onnx):
    counts = []
    for threads in (1, 4):
        async with held(replace(onnx, options=ModelOptions(thread_num=threads))):
            counts.append(device_process().num_threads())
    assert counts[1] - counts[0] == 3


async def test_onnx_runtime_has_threads_for_operators_side_by_side(onnx):
    counts = []
    for parallel in (False, True):
        options = ModelOptions(thread_num=3, enable_parallel=parallel)
        async with held(replace(onnx, options=options)):
            counts.append(device_process().num_threads())
    assert counts[1] > counts[0]


async def test_a_device_process_stays_on_the_cores_of_all_its_models(onnx, tmp_path):
    cores = sorted(os.sched_getaffinity(0))[:2]
    wishes = [ModelOptions(thread_affinity_core_list=(core,)) for core in cores]
    async with held(replace(onnx, options=wishes[0]), replace(toy(tmp_path), options=wishes[-1])):
        process = device_process()
        for thread in process.threads():
            assert sorted(os.sched_getaffinity(thread.id)) == cores
    async with held(replace(onnx, options=wishes[0])):
        for thread in device_process().threads():
            assert sorted(os.sched_getaffinity(thread.id)) == cores[:1]


async def test_calls_run_on_as_many_cores_as_their_model_was_declared_with(tmp_path):
    everywhere = os.sched_getaffinity(0)
    narrow = replace(toy(tmp_path, name="narrow"), options=ModelOptions(cores=1))
    row = np.ones((1, 2), np.float32)
    async with held(narrow, toy(tmp_path)) as models:
        for model, cores in (("narrow.reference", 1), ("toy.reference", len(everywhere))):
            await models.run(model, row)
            for thread in device_process().threads():
                assert len(os.sched_getaffinity(thread.id)) == cores


async def test_a_core_that_is_not_there_is_an_error_of_the_model(tmp_path):
    options = ModelOptions(thread_affinity_core_list=(0, 4000))
    async with loader() as loading:
        with pytest.raises(LoadFailed, match="thread_affinity_core_list: there is no core 4000"):
            await loading.load(replace(toy(tmp_path), options=options))


async def test_what_a_backend_does_not_act_on_is_named(onnx, tmp_path):
    async with loader() as loading:
        said = await loading.load(replace(onnx, options=EVERYTHING))
        assert said == ["cpu precision_mode"]
        said = await loading.load(replace(toy(tmp_path), options=EVERYTHING))
        assert said == ["thread_num", "enable_parallel", "cpu precision_mode"]
        assert await loading.load(toy(tmp_path)) == []


async def test_what_has_no_effect_is_logged_with_servable_and_model(tmp_path):
    with capture_logs() as logged:
        async with held(replace(toy(tmp_path), options=EVERYTHING), toy(tmp_path, name="plain")):
            pass
    assert [each for each in logged if each["log_level"] == "warning"] == [
        {
            "event": "model options without effect",
            "log_level": "warning",
            "what": "servable 'toy' version 1",
            "model": "toy.reference",
            "options": ["thread_num", "enable_parallel", "cpu precision_mode"],
        }
    ]


@pytest.fixture
def installed(monkeypatch):
    lite.install(monkeypatch)


def lite_toy(folder, options, ending="mindir"):
    return replace(toy(folder, ending), format="mindir_lite", options=options)


async def test_mindspore_lite_acts_on_everything(installed, tmp_path):
    config = tmp_path / "lite.cfg"
    config.write_text("[execution_plan]\n")
    options = replace(EVERYTHING, config_file=str(config))
    async with loader() as loading:
        assert await loading.load(lite_toy(tmp_path, options)) == []


@pytest.mark.parametrize("content", [None, "no section\n"])
async def test_a_config_file_of_no_use_fails_the_model_without_a_path(installed, tmp_path, content):
    config = tmp_path / "lite.cfg"
    if content:
        config.write_text(content)
    async with loader() as loading:
        with pytest.raises(LoadFailed, match=r"model file 'toy.mindir': .*config") as failed:
            await loading.load(lite_toy(tmp_path, ModelOptions(config_file=str(config))))
    assert str(tmp_path) not in failed.value.message


async def test_a_key_for_mindspore_lite_is_refused(installed, tmp_path):
    async with loader() as loading:
        with pytest.raises(LoadFailed, match=r"model file 'toy.mindir': a dec_key was given, but"):
            await loading.load(lite_toy(tmp_path, ModelOptions()), key=DecryptionKey(b"k" * 16))


async def test_without_the_package_it_is_said_where_to_get_it(tmp_path):
    async with loader() as loading:
        with pytest.raises(
            LoadFailed,
            match=r"Lite is not installed here: .* enable_lite .* package mindspore_lite",
        ):
            await loading.load(lite_toy(tmp_path, ModelOptions()))
        await loading.load(toy(tmp_path))


async def test_models_of_the_ascend_compiler_are_refused_where_answers_would_differ(
    installed, tmp_path
):
    aipp = ModelOptions(devices=(DeviceOptions("ascend", (("insert_op_cfg_path", "aipp.cfg"),)),))
    async with loader() as loading:
        await loading.load(lite_toy(tmp_path, aipp))
    async with loader() as loading:
        with pytest.raises(LoadFailed, match="Ascend option 'insert_op_cfg_path' cannot be acted"):
            await loading.load(lite_toy(tmp_path, aipp), device=Device("Ascend", 0))
