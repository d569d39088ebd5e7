"""How MindSpore Lite is told of devices, ranks and threads."""

from typing import Any

from services.agent.backends.mindspore_lite_rank import Rank
from shared.errors import LoadFailed
from shared.membership import Device, ModelFiles
from shared.servable import ModelOptions

ACTS_ON = frozenset(
    {
        *("thread_num", "thread_affinity_core_list", "enable_parallel", "config_file"),
        *("cpu precision_mode", "gpu precision_mode", "ascend precision_mode"),
        *("gpu provider", "ascend provider", "ascend weight_group"),
    }
)
_PRECISIONS = {"origin": "enforce_fp32", "fp16": "preferred_fp16"}
_ASCEND_PRECISIONS = {
    "force_fp16": "enforce_fp16",
    "allow_fp32_to_fp16": "preferred_fp32",
    "must_keep_origin_dtype": "enforce_origin",
    "allow_mix_precision": "preferred_optimal",
}
# The engines that can run ranks of a distributed model, of each device the only one.
_DISTRIBUTED = {"Ascend": "ge", "GPU": "tensorrt"}
# MindSpore Lite 2.x counts operators where there was a yes or no: the least that is parallel.
_PARALLEL_OPERATORS = 2


def provider_of(files: ModelFiles, device: Device, rank: Rank | None) -> str:
    """The engine that runs a model; empty: the device's default one."""
    asked = files.options.values_for(device.type).get("provider", "")
    return asked or (_DISTRIBUTED.get(device.type, "") if rank is not None else "")


def check_rank(device: Device, rank: Rank | None) -> None:
    """Raises LoadFailed where MindSpore Lite runs no distributed models."""
    if rank is not None and device.type not in _DISTRIBUTED:
        of = "" if rank.size is None else f" of {rank.size}"
        raise LoadFailed(
            f"this is rank {rank.number}{of}, but MindSpore Lite runs distributed models on Ascend"
            f" and GPU, not on {device.type}"
        )


def lite_context(lite: Any, files: ModelFiles, device: Device, rank: Rank | None = None) -> Any:
    """A ``mindspore_lite.Context`` for one graph; ``lite`` is the package.

    Raises LoadFailed when MPI has given this process another rank.
    """
    options = files.options
    context = lite.Context()
    target = device.type.lower()
    context.target = [target]
    _set_threads(context.cpu, options)
    chosen = getattr(context, target)
    if target != "cpu":
        chosen.device_id = device.id
        provider = provider_of(files, device, rank)
        if provider:
            chosen.provider = provider
    if rank is not None:
        _set_rank(context, chosen, target, rank)
    precision = options.values_for(target).get("precision_mode")
    if precision is not None:
        names = _ASCEND_PRECISIONS if target == "ascend" else _PRECISIONS
        chosen.precision_mode = names[precision]
    return context


def _set_rank(context: Any, chosen: Any, target: str, rank: Rank) -> None:
    if rank.device_id is not None:
        chosen.device_id = rank.device_id
    if rank.group_file:
        context.group_info_file = rank.group_file
    if target == "ascend":
        chosen.rank_id = rank.number
        return
    # Of GPUs, MPI alone says which process is which.
    if chosen.rank_id != rank.number or rank.size not in (None, chosen.group_size):
        raise LoadFailed(
            f"this is rank {rank.number} of {rank.size}, but for MPI it is rank {chosen.rank_id} of"
            f" {chosen.group_size}: agents with ranks on GPUs are started by mpirun"
        )


def _set_threads(cpu: Any, options: ModelOptions) -> None:
    """For the CPU, which runs what other devices cannot."""
    if options.thread_num is not None:
        cpu.thread_num = options.thread_num
    if options.thread_affinity_core_list:
        cpu.thread_affinity_core_list = list(options.thread_affinity_core_list)
    if options.enable_parallel is not None:
        most = options.thread_num or _PARALLEL_OPERATORS
        cpu.inter_op_parallel_num = min(_PARALLEL_OPERATORS, most) if options.enable_parallel else 1
