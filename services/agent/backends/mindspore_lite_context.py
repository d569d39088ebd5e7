"""How MindSpore Lite is told of devices and threads."""

from typing import Any

from shared.membership import Device
from shared.servable import ModelOptions

ACTS_ON = frozenset(
    {
        *("thread_num", "thread_affinity_core_list", "enable_parallel", "config_file"),
        *("cpu precision_mode", "gpu precision_mode", "ascend precision_mode"),
    }
)
_PRECISIONS = {"origin": "enforce_fp32", "fp16": "preferred_fp16"}
_ASCEND_PRECISIONS = {
    "force_fp16": "enforce_fp16",
    "allow_fp32_to_fp16": "preferred_fp32",
    "must_keep_origin_dtype": "enforce_origin",
    "allow_mix_precision": "preferred_optimal",
}
# MindSpore Lite 2.x counts operators where there was a yes or no: the least that is parallel.
_PARALLEL_OPERATORS = 2


def lite_context(lite: Any, device: Device, options: ModelOptions) -> Any:
    """A ``mindspore_lite.Context`` for ``device``; ``lite`` is the package."""
    context = lite.Context()
    target = device.type.lower()
    context.target = [target]
    _set_threads(context.cpu, options)
    chosen = getattr(context, target)
    if target != "cpu":
        chosen.device_id = device.id
    precision = options.values_for(target).get("precision_mode")
    if precision is not None:
        names = _ASCEND_PRECISIONS if target == "ascend" else _PRECISIONS
        chosen.precision_mode = names[precision]
    return context


def _set_threads(cpu: Any, options: ModelOptions) -> None:
    """For the CPU, which runs what other devices cannot."""
    if options.thread_num is not None:
        cpu.thread_num = options.thread_num
    if options.thread_affinity_core_list:
        cpu.thread_affinity_core_list = list(options.thread_affinity_core_list)
    if options.enable_parallel is not None:
        most = options.thread_num or _PARALLEL_OPERATORS
        cpu.inter_op_parallel_num = min(_PARALLEL_OPERATORS, most) if options.enable_parallel else 1
