"""Under which names scripts of the original find what they import."""

import importlib

import pytest

OLD_REGISTER = [
    *("call_postprocess", "call_postprocess_pipeline", "call_preprocess"),
    *("call_preprocess_pipeline", "call_servable", "declare_servable", "register_method"),
    *("AclOptions", "GpuOptions"),
]
NEW_REGISTER = [
    *("declare_model", "Model", "AscendDeviceInfo", "CPUDeviceInfo", "GPUDeviceInfo", "Context"),
    *("register_method", "add_stage"),
]


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("mindspore_serving", ["__version__", "log"]),
        ("mindspore_serving.client", ["Client", "SSLConfig"]),
        ("mindspore_serving.server", ["register", *NEW_REGISTER]),
        ("mindspore_serving.server.register", [*NEW_REGISTER, *OLD_REGISTER]),
        ("mindspore_serving.worker.register", OLD_REGISTER),
        (
            "mindspore_serving.master",
            ["start_grpc_server", "start_restful_server", "start_master_server", "stop"],
        ),
        (
            "mindspore_serving.worker",
            ["start_servable", "start_servable_in_master", "stop", "register", "distributed"],
        ),
        (
            "mindspore_serving.log",
            ["get_level", "get_log_config", "debug", "info", "warning", "error"],
        ),
    ],
)
def test_every_home_has_its_names(module, names):
    home = importlib.import_module(module)
    assert [name for name in names if not hasattr(home, name)] == []


def test_the_names_of_register_are_those_of_the_original():
    register = importlib.import_module("mindspore_serving.server.register")
    assert sorted(register.__all__) == sorted(NEW_REGISTER)


def test_a_home_has_no_other_names():
    worker = importlib.import_module("mindspore_serving.worker")
    with pytest.raises(AttributeError, match="has no attribute 'start'"):
        getattr(worker, "start")  # noqa: B009 (a plain access would be an expression without use)
