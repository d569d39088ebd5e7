"""How a model is wished to be run, checked in the original's words."""

from dataclasses import dataclass, field
from typing import Any

from mindspore_serving.deprecation import say_deprecated
from shared import declaration_arguments as arguments
from shared.servable import DeviceOptions, ModelOptions

_PRECISIONS = ("origin", "fp16")
_FREE_TEXT: tuple[str, ...] = ()
_ASCEND_KEYWORDS = {
    "insert_op_cfg_path": _FREE_TEXT,
    "input_format": ("ND", "NCHW", "NHWC", "CHWN", "NC1HWC0", "NHWC1C0"),
    "input_shape": _FREE_TEXT,
    "output_type": ("FP32", "FP16", "UINT8"),
    "precision_mode": (
        *("force_fp16", "allow_fp32_to_fp16"),
        *("must_keep_origin_dtype", "allow_mix_precision"),
    ),
    "op_select_impl_mode": ("high_performance", "high_precision"),
    "fusion_switch_config_path": _FREE_TEXT,
    "buffer_optimize_mode": (
        *("l1_optimize", "l2_optimize"),
        *("off_optimize", "l1_and_l2_optimize"),
    ),
    "provider": ("ge",),
    "weight_group": _FREE_TEXT,
}
_GPU_KEYWORDS = {"precision_mode": _PRECISIONS, "provider": ("tensorrt",)}


class _DeviceInfo:
    """Values for one type of device, checked against what each keyword may say."""

    def __init__(
        self, device: str, allowed: dict[str, tuple[str, ...]], unknown: str, given: dict[str, Any]
    ) -> None:
        self.context_map: dict[str, str] = {"device_type": device}
        for name, value in given.items():
            if name not in allowed:
                raise RuntimeError(f"Set {device} device info failed, unsupported {unknown} {name}")
            arguments.check_text(name, value)
            choices = allowed[name]
            if choices and value not in choices:
                listed = ", ".join(f"'{choice}'" for choice in choices)
                raise RuntimeError(
                    f"{device.capitalize()} device info '{name}' can only be {listed}."
                    f" given '{value}'"
                )
            self.context_map[name] = value


class CPUDeviceInfo(_DeviceInfo):
    """precision_mode: "origin" or "fp16". Raises RuntimeError for anything else."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("cpu", {"precision_mode": _PRECISIONS}, "option", kwargs)


class GPUDeviceInfo(_DeviceInfo):
    """precision_mode: "origin" or "fp16"; provider: "tensorrt", an engine of MindSpore Lite.

    Raises RuntimeError for anything else.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("gpu", _GPU_KEYWORDS, "option", kwargs)


class AscendDeviceInfo(_DeviceInfo):
    """What the Ascend compiler is told, as text.

    insert_op_cfg_path, input_format, input_shape, output_type, precision_mode,
    op_select_impl_mode, fusion_switch_config_path, buffer_optimize_mode.
    For MindSpore Lite alone, and new: provider, "ge" for its engine of that name; weight_group,
    a name: models of a servable that give the same one share their weights.
    Raises RuntimeError for other keywords and for values that the compiler does not know.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("ascend", _ASCEND_KEYWORDS, "parameter", kwargs)


@dataclass(slots=True)
class ModelContext:
    """What a Context holds; -1 is what was not set."""

    thread_num: int = -1
    thread_affinity_core_list: list[int] = field(default_factory=list)
    enable_parallel: int = -1
    device_list: list[dict[str, str]] = field(default_factory=list)


class Context:
    """Threads and devices of one model.

    thread_num: an int from 1 on. thread_affinity_core_list: a tuple or list of ints from 0 on.
    enable_parallel: a bool. Raises RuntimeError for anything else.
    """

    def __init__(self, **kwargs: Any) -> None:
        self.model_context = ModelContext()
        setters = {
            "thread_num": self._set_thread_num,
            "thread_affinity_core_list": self._set_cores,
            "enable_parallel": self._set_parallel,
        }
        for name, value in kwargs.items():
            if name not in setters:
                raise RuntimeError(f"Set context failed, unsupported option {name}")
            setters[name](value)

    def _set_thread_num(self, value: Any) -> None:
        arguments.check_count("thread_num", value, at_least=1)
        self.model_context.thread_num = value

    def _set_cores(self, value: Any) -> None:
        if not isinstance(value, tuple | list):
            raise RuntimeError(
                "Parameter 'thread_affinity_core_list' should be tuple/list of int,"
                f" but actually {type(value)}"
            )
        cores = arguments.whole_numbers_of("thread_affinity_core_list", value)
        self.model_context.thread_affinity_core_list = list(cores)

    def _set_parallel(self, value: Any) -> None:
        arguments.check_flag("enable_parallel", value)
        self.model_context.enable_parallel = int(value)

    def append_device_info(self, device_info: _DeviceInfo) -> None:
        """Add one device's values; RuntimeError for a second device of its type."""
        if not isinstance(device_info, _DeviceInfo):
            raise RuntimeError(
                "Parameter 'device_info' should be CPUDeviceInfo, GPUDeviceInfo or"
                f" AscendDeviceInfo, but gotten {type(device_info)}"
            )
        device = device_info.context_map["device_type"]
        devices = self.model_context.device_list
        if any(each["device_type"] == device for each in devices):
            raise RuntimeError(f"Device info of type {device} has already been appended")
        devices.append(device_info.context_map)


class AclOptions:
    """The keywords of AscendDeviceInfo, before there was a Context."""

    def __init__(self, **kwargs: Any) -> None:
        say_deprecated("AclOptions", "1.6.0", "AscendDeviceInfo")
        self.context = Context()
        self.context.append_device_info(AscendDeviceInfo(**kwargs))


class GpuOptions:
    """The keywords of GPUDeviceInfo, before there was a Context."""

    def __init__(self, **kwargs: Any) -> None:
        say_deprecated("GpuOptions", "1.6.0", "GPUDeviceInfo")
        self.context = Context()
        self.context.append_device_info(GPUDeviceInfo(**kwargs))


def model_options(
    options: object, context: object, config_file: object, cores: int | None = None
) -> ModelOptions:
    """What declare_model was told of devices, as it is recorded.

    ``context`` is used where both it and ``options`` are given.
    Raises RuntimeError in the original's words for objects of other types.
    """
    if options is not None and not isinstance(options, AclOptions | GpuOptions):
        raise RuntimeError(
            "Parameter 'options' should be None, GpuOptions or AclOptions,"
            f" but gotten {type(options)}"
        )
    if context is not None and not isinstance(context, Context):
        raise RuntimeError(f"Parameter 'context' should be Context, but gotten {type(context)}")
    if config_file is not None:
        arguments.check_text("config_file", config_file)
    if cores is not None:
        arguments.check_count("cores", cores, at_least=1)
    chosen = context or (options.context if options is not None else Context())
    return _recorded(chosen.model_context, str(config_file or ""), cores)


def _recorded(told: ModelContext, config_file: str, cores: int | None) -> ModelOptions:
    return ModelOptions(
        thread_num=told.thread_num if told.thread_num > 0 else None,
        thread_affinity_core_list=tuple(told.thread_affinity_core_list),
        enable_parallel=bool(told.enable_parallel) if told.enable_parallel >= 0 else None,
        devices=tuple(
            DeviceOptions(
                device["device_type"],
                tuple((name, text) for name, text in device.items() if name != "device_type"),
            )
            for device in told.device_list
        ),
        config_file=config_file,
        cores=cores,
    )
