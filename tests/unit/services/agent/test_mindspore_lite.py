"""How MindSpore Lite is told of devices, threads and files; the rest is in tests/contract."""

import importlib
import json
import sys
from enum import Enum

import numpy as np
import pytest

from services.agent.backends.mindspore_lite import MindSporeLiteBackend
from services.agent.backends.mindspore_lite_context import lite_context
from services.agent.backends.mindspore_lite_rank import Rank
from shared.errors import LoadFailed
from shared.membership import Device, GangPart, ModelFiles
from shared.servable import DeviceOptions, ModelOptions
from tests.support import lite

ROWS = {"name": "x", "dtype": "float32", "dims": [-1, 2]}
ENGINE_GE = ModelOptions(devices=(DeviceOptions("ascend", (("provider", "ge"),)),))


@pytest.fixture
def package(monkeypatch):
    monkeypatch.syspath_prepend(lite.FOLDER)
    yield importlib.import_module("mindspore_lite")
    for name in [each for each in sys.modules if each.partition(".")[0] == "mindspore_lite"]:
        del sys.modules[name]


def toy(given=None):
    """A model of which nothing but its options is looked at."""
    return ModelFiles("m", "mindir_lite", (), True, (), 8, given or ModelOptions())


def options(kind, precision, **others):
    return ModelOptions(devices=(DeviceOptions(kind, (("precision_mode", precision),)),), **others)


@pytest.mark.parametrize(
    ("device", "given", "expected"),
    [
        (Device("CPU", 3), options("cpu", "fp16"), {"precision_mode": "preferred_fp16"}),
        (Device("CPU", 3), options("cpu", "origin"), {"precision_mode": "enforce_fp32"}),
        (Device("CPU", 3), options("gpu", "fp16"), {}),
        (Device("GPU", 3), ModelOptions(), {"device_id": 3}),
        (
            Device("GPU", 0),
            options("gpu", "fp16"),
            {"device_id": 0, "precision_mode": "preferred_fp16"},
        ),
        *(
            (
                Device("Ascend", 2),
                options("ascend", said),
                {"device_id": 2, "precision_mode": meant},
            )
            for said, meant in (
                ("force_fp16", "enforce_fp16"),
                ("allow_fp32_to_fp16", "preferred_fp32"),
                ("must_keep_origin_dtype", "enforce_origin"),
                ("allow_mix_precision", "preferred_optimal"),
            )
        ),
    ],
)
def test_the_context_names_the_device_and_its_precision(package, device, given, expected):
    context = lite_context(package, toy(given), device)
    assert context.target == [device.type.lower()]
    assert getattr(context, device.type.lower()).set == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"thread_num": 4}, {"thread_num": 4}),
        ({"thread_affinity_core_list": (0, 2)}, {"thread_affinity_core_list": [0, 2]}),
        ({"enable_parallel": True}, {"inter_op_parallel_num": 2}),
        ({"enable_parallel": False}, {"inter_op_parallel_num": 1}),
        ({"enable_parallel": True, "thread_num": 1}, {"thread_num": 1, "inter_op_parallel_num": 1}),
    ],
)
@pytest.mark.parametrize("kind", ["CPU", "Ascend"])
def test_threads_are_those_of_the_cpu_whatever_the_device(package, kind, given, expected):
    context = lite_context(package, toy(ModelOptions(**given)), Device(kind, 0))
    assert context.cpu.set == expected
    context.check()


def files(folder, name, **others):
    path = folder / name
    toy = {"function": "double", "inputs": [ROWS], "outputs": [ROWS]}
    path.write_text(json.dumps(toy))
    return ModelFiles(name, "mindir_lite", (str(path),), True, (), 8, **others)


@pytest.mark.parametrize(("name", "kind"), [("a.mindir", "MINDIR"), ("a.ms", "MINDIR_LITE")])
def test_a_file_is_built_as_what_its_name_says_with_its_config_file(package, tmp_path, name, kind):
    config = tmp_path / "lite.cfg"
    config.write_text("[ascend_context]\nprovider = ge\n")
    backend = MindSporeLiteBackend(Device("CPU", 0))
    given = ModelOptions(thread_num=2, config_file=str(config))
    backend.load(files(tmp_path, name, options=given), None)
    built = package.Model.last
    assert built.model_type is package.ModelType[kind]
    assert built.config == {"ascend_context": {"provider": "ge"}}
    assert built.context.cpu.thread_num == 2


def test_a_release_that_reads_no_old_files_asks_for_a_new_one(package, tmp_path, monkeypatch):
    monkeypatch.setattr(package, "ModelType", Enum("ModelType", {"MINDIR": 0}))
    backend = MindSporeLiteBackend(Device("CPU", 0))
    with pytest.raises(LoadFailed, match=r"'a.ms': this MindSpore Lite reads .mindir files"):
        backend.load(files(tmp_path, "a.ms"), None)


def test_what_one_call_gave_is_not_overwritten_by_the_next(package, tmp_path):
    model = MindSporeLiteBackend(Device("CPU", 0)).load(files(tmp_path, "a.mindir"), None)
    model.warm_up()
    (first,) = model.execute(0, [np.ones((1, 2), np.float32)])
    (second,) = model.execute(0, [np.full((1, 2), 3, np.float32)])
    assert (first.tolist(), second.tolist()) == ([[2, 2]], [[6, 6]])


RANK = Rank(1, 2, device_id=5, group_file="group_config.pb")


@pytest.mark.parametrize(
    ("rank", "given", "expected"),
    [
        (None, ModelOptions(), {"device_id": 3}),
        (None, ENGINE_GE, {"device_id": 3, "provider": "ge"}),
        (Rank(1), ModelOptions(), {"device_id": 3, "provider": "ge", "rank_id": 1}),
        (RANK, ModelOptions(), {"device_id": 5, "provider": "ge", "rank_id": 1}),
    ],
)
def test_a_rank_on_an_ascend_is_told_its_number_and_the_engine_for_ranks(
    package, rank, given, expected
):
    context = lite_context(package, toy(given), Device("Ascend", 3), rank)
    assert context.ascend.set == expected
    assert context.group_info_file == (rank.group_file if rank else "")


def test_a_rank_on_a_gpu_is_the_one_that_mpi_made_it(package, monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    context = lite_context(package, toy(), Device("GPU", 0), Rank(1, 2, device_id=1))
    assert context.gpu.set == {"device_id": 1, "provider": "tensorrt"}
    for other in (Rank(0, 2), Rank(1, 3)):
        with pytest.raises(LoadFailed, match=rf"rank {other.number} of {other.size}, but for MPI"):
            lite_context(package, toy(), Device("GPU", 0), other)


def test_ranks_on_a_cpu_are_refused(package, monkeypatch):
    monkeypatch.setenv("RANK_ID", "1")
    monkeypatch.setenv("RANK_SIZE", "2")
    with pytest.raises(LoadFailed, match=r"this is rank 1 of 2, but .* on Ascend and GPU, not on"):
        MindSporeLiteBackend(Device("CPU", 0))


def test_a_rank_is_built_with_what_its_environment_says(package, tmp_path, monkeypatch):
    """The rank table of the environment goes before the one that the config file names."""
    table = tmp_path / "rank_table.json"
    for name, value in (("RANK_ID", "1"), ("DEVICE_ID", "7"), ("RANK_TABLE_FILE", str(table))):
        monkeypatch.setenv(name, value)
    config = tmp_path / "lite.cfg"
    config.write_text("[ascend_context]\nrank_table_file = old\nplan = kept\n")
    backend = MindSporeLiteBackend(Device("Ascend", 0))
    given = ModelOptions(config_file=str(config))
    backend.load(files(tmp_path, "a.mindir", options=given), None)
    built = package.Model.last
    assert built.context.ascend.set == {"device_id": 7, "provider": "ge", "rank_id": 1}
    assert built.config == {"ascend_context": {"rank_table_file": str(table), "plan": "kept"}}


def test_a_stage_of_one_rank_computes_with_nobody(package, tmp_path, monkeypatch):
    """Its worker carries what goes in and out, so that any device will do."""
    monkeypatch.setenv("RANK_ID", "1")
    monkeypatch.setenv("RANK_SIZE", "2")
    part = GangPart(1, 1, 2, group_rank=0, group_size=1)
    backend = MindSporeLiteBackend(Device("CPU", 0), part)
    backend.load(files(tmp_path, "a.mindir"), None)
    assert package.Model.last.context.target == ["cpu"]
    with pytest.raises(LoadFailed, match=r"this is rank 1 of 2, but"):
        MindSporeLiteBackend(Device("CPU", 0), GangPart(1, 1, 2, group_rank=1, group_size=2))


def test_a_release_without_groups_cannot_share_weights(package, tmp_path, monkeypatch):
    monkeypatch.delattr(package, "ModelGroup")
    values = (("provider", "ge"), ("weight_group", "gpt"))
    given = ModelOptions(devices=(DeviceOptions("ascend", values),))
    with pytest.raises(LoadFailed, match=r"'weight_group' needs a MindSpore Lite that has Model"):
        MindSporeLiteBackend(Device("Ascend", 0)).load(
            files(tmp_path, "a.mindir", options=given), None
        )


def test_names_of_outputs_lose_the_blanks_behind_them(package, tmp_path):
    toy = {"function": "double", "inputs": [{**ROWS, "dims": [4, 2]}]}
    toy["outputs"] = [{**toy["inputs"][0], "name": "y   "}]
    (tmp_path / "a.mindir").write_text(json.dumps(toy))
    named = ModelFiles("a", "mindir_lite", (str(tmp_path / "a.mindir"),), True, (), 8)
    signature = MindSporeLiteBackend(Device("CPU", 0)).load(named, None).signature
    assert [each.name for each in signature.subgraphs[0].outputs] == ["y"]


def test_a_package_that_cannot_be_imported_says_why(monkeypatch, tmp_path):
    broken = tmp_path / "mindspore_lite"
    broken.mkdir()
    (broken / "__init__.py").write_text(
        "raise ImportError('libmindspore-lite.so: cannot open shared object file')"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        LoadFailed, match=r"MindSpore Lite cannot be imported: libmindspore-lite.so: cannot open"
    ):
        MindSporeLiteBackend(Device("CPU", 0))
