"""Contexts, device infos and options: what they hold, what they refuse, what is recorded."""

import pytest

from mindspore_serving.server import register
from mindspore_serving.server.context import model_options
from shared.servable import DeviceOptions, ModelOptions


def test_a_context_holds_what_was_set_and_says_what_was_not():
    unset = register.Context().model_context
    assert (unset.thread_num, unset.enable_parallel) == (-1, -1)
    assert (unset.thread_affinity_core_list, unset.device_list) == ([], [])
    context = register.Context(
        thread_num=2, thread_affinity_core_list=(0, 1, 1), enable_parallel=True
    )
    context.append_device_info(register.GPUDeviceInfo(precision_mode="fp16"))
    context.append_device_info(register.CPUDeviceInfo())
    held = context.model_context
    assert (held.thread_num, held.thread_affinity_core_list) == (2, [0, 1, 1])
    assert held.enable_parallel == 1
    assert held.device_list == [
        {"device_type": "gpu", "precision_mode": "fp16"},
        {"device_type": "cpu"},
    ]
    assert register.Context(enable_parallel=False).model_context.enable_parallel == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"threads": 1}, "Set context failed, unsupported option threads"),
        ({"thread_num": 0}, "Parameter 'thread_num' should be >= 1"),
        ({"thread_num": "2"}, "Parameter 'thread_num' should be int, but actually <class 'str'>"),
        (
            {"thread_affinity_core_list": 1},
            "Parameter 'thread_affinity_core_list' should be tuple/list of int, but actually"
            " <class 'int'>",
        ),
        (
            {"thread_affinity_core_list": [0, -1]},
            "The item value '-1' in parameter 'thread_affinity_core_list' should be >= 0",
        ),
        (
            {"enable_parallel": 1},
            "Parameter 'enable_parallel' should be bool, but actually <class 'int'>",
        ),
    ],
)
def test_a_context_refuses_in_the_originals_words(given, words):
    with pytest.raises(RuntimeError) as failure:
        register.Context(**given)
    assert str(failure.value) == words


def test_a_context_takes_one_device_info_of_each_type():
    context = register.Context()
    context.append_device_info(register.AscendDeviceInfo())
    with pytest.raises(RuntimeError, match="Device info of type ascend has already been appended"):
        context.append_device_info(register.AscendDeviceInfo(output_type="FP16"))
    with pytest.raises(RuntimeError, match="Parameter 'device_info' should be CPUDeviceInfo"):
        context.append_device_info({"device_type": "gpu"})


ASCEND = {
    "insert_op_cfg_path": "aipp.cfg",
    "input_format": "NCHW",
    "input_shape": "x: 1,3,224,224",
    "output_type": "FP16",
    "precision_mode": "force_fp16",
    "op_select_impl_mode": "high_precision",
    "fusion_switch_config_path": "fusion.cfg",
    "buffer_optimize_mode": "l1_and_l2_optimize",
}


def test_ascend_knows_all_the_originals_keywords():
    assert register.AscendDeviceInfo(**ASCEND).context_map == {"device_type": "ascend", **ASCEND}


def test_ascends_and_gpus_know_the_engines_of_mindspore_lite():
    ascend = register.AscendDeviceInfo(provider="ge", weight_group="gpt")
    assert ascend.context_map == {
        "device_type": "ascend",
        "provider": "ge",
        "weight_group": "gpt",
    }
    gpu = register.GPUDeviceInfo(provider="tensorrt")
    assert gpu.context_map == {"device_type": "gpu", "provider": "tensorrt"}
    with pytest.raises(RuntimeError, match="Gpu device info 'provider' can only be 'tensorrt'"):
        register.GPUDeviceInfo(provider="ge")


@pytest.mark.parametrize(
    ("device", "given", "words"),
    [
        (
            register.GPUDeviceInfo,
            {"precision_mode": "x"},
            "Gpu device info 'precision_mode' can only be 'origin', 'fp16'. given 'x'",
        ),
        (
            register.CPUDeviceInfo,
            {"precision_mode": "force_fp16"},
            "Cpu device info 'precision_mode' can only be 'origin', 'fp16'. given 'force_fp16'",
        ),
        (register.GPUDeviceInfo, {"x": "1"}, "Set gpu device info failed, unsupported option x"),
        (register.CPUDeviceInfo, {"x": "1"}, "Set cpu device info failed, unsupported option x"),
        (
            register.AscendDeviceInfo,
            {"x": "1"},
            "Set ascend device info failed, unsupported parameter x",
        ),
        (
            register.AscendDeviceInfo,
            {"input_format": 5},
            "Parameter 'input_format' should be str, but actually <class 'int'>",
        ),
        (
            register.AscendDeviceInfo,
            {"insert_op_cfg_path": ""},
            "Parameter 'insert_op_cfg_path' should not be empty str",
        ),
        (
            register.AclOptions,
            {"op_select_impl_mode": "fast"},
            "Ascend device info 'op_select_impl_mode' can only be 'high_performance',"
            " 'high_precision'. given 'fast'",
        ),
        (register.GpuOptions, {"x": "1"}, "Set gpu device info failed, unsupported option x"),
    ],
)
def test_device_infos_and_options_refuse_in_the_originals_words(device, given, words):
    with pytest.raises(RuntimeError) as failure:
        device(**given)
    assert str(failure.value) == words


@pytest.mark.parametrize(
    ("device", "values"),
    [("input_format", "ND NCHW NHWC CHWN NC1HWC0 NHWC1C0"), ("output_type", "FP32 FP16 UINT8")],
)
def test_each_value_that_the_original_lists_is_taken(device, values):
    for value in values.split():
        assert register.AscendDeviceInfo(**{device: value}).context_map[device] == value


def test_what_was_said_of_devices_is_recorded_with_the_model():
    context = register.Context(thread_num=3)
    context.append_device_info(register.GPUDeviceInfo(precision_mode="fp16"))
    recorded = model_options(None, context, "lite.cfg")
    assert recorded == ModelOptions(
        thread_num=3,
        devices=(DeviceOptions("gpu", (("precision_mode", "fp16"),)),),
        config_file="lite.cfg",
    )
    assert recorded.named("GPU") == ("thread_num", "config_file", "gpu precision_mode")
    assert recorded.named("CPU") == ("thread_num", "config_file")
    older = model_options(register.GpuOptions(precision_mode="fp16"), None, None)
    assert older.devices == recorded.devices
    acl = model_options(register.AclOptions(output_type="FP16"), None, None)
    assert acl.devices == (DeviceOptions("ascend", (("output_type", "FP16"),)),)
    assert model_options(None, None, None) == ModelOptions()
    assert model_options(None, None, None, 2) == ModelOptions(cores=2)
    with pytest.raises(RuntimeError, match="Parameter 'cores' should be >= 1"):
        model_options(None, None, None, 0)
    assert ModelOptions().named("GPU") == ()


def test_a_model_that_is_to_keep_its_precision_asks_for_nothing():
    origin = model_options(register.GpuOptions(precision_mode="origin"), None, None)
    assert origin.named("GPU") == ()


ASCEND_CHOICES = {
    "input_format": ("ND", "NCHW", "NHWC", "CHWN", "NC1HWC0", "NHWC1C0"),
    "output_type": ("FP32", "FP16", "UINT8"),
    "precision_mode": (
        *("force_fp16", "allow_fp32_to_fp16", "must_keep_origin_dtype", "allow_mix_precision"),
    ),
    "op_select_impl_mode": ("high_performance", "high_precision"),
    "buffer_optimize_mode": ("l1_optimize", "l2_optimize", "off_optimize", "l1_and_l2_optimize"),
}


@pytest.mark.parametrize("name", ASCEND_CHOICES)
def test_ascend_takes_the_originals_values_and_no_others(name):
    for value in ASCEND_CHOICES[name]:
        assert register.AscendDeviceInfo(**{name: value}).context_map[name] == value
    with pytest.raises(RuntimeError, match=f"Ascend device info '{name}' can only be .* given 'x'"):
        register.AscendDeviceInfo(**{name: "x"})


def test_a_context_beside_options_is_what_counts():
    context = register.Context(thread_num=2)
    found = model_options(register.AclOptions(precision_mode="force_fp16"), context, None)
    assert found == ModelOptions(thread_num=2)
