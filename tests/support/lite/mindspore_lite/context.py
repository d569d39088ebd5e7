"""Context: the target device, and what is set for each type of device."""

import os

from mindspore_lite.checks import check_list, check_type

TARGETS = ("cpu", "gpu", "ascend")


class _Device:
    """Attributes that exist, with what each may be; anything else is an error."""

    def __init__(self, **allowed):
        object.__setattr__(self, "_allowed", allowed)
        object.__setattr__(self, "set", {})

    def __setattr__(self, name, value):
        if name not in self._allowed:
            raise AttributeError(f"cannot set attribute {name}")
        allowed = self._allowed[name]
        if isinstance(allowed, tuple):
            check_type(name, value, str)
            if value not in allowed:
                raise ValueError(f"{name} must be in {list(allowed)}, but got {value}.")
        elif allowed is list:
            check_list(name, value, int)
        else:
            check_type(name, value, allowed)
            if allowed is int and value < 0:
                raise ValueError(f"{name} must be a non-negative int.")
        self.set[name] = value

    def __getattr__(self, name):
        return self.set.get(name)


class _Gpu(_Device):
    """Of GPUs, MPI says who is who: that can be read, and not set."""

    @property
    def rank_id(self):
        return int(os.environ.get("OMPI_COMM_WORLD_RANK", "0"))

    @property
    def group_size(self):
        return int(os.environ.get("OMPI_COMM_WORLD_SIZE", "1"))


class Context:
    def __init__(self):
        precisions = ("preferred_fp16", "enforce_fp32")
        self.cpu = _Device(
            precision_mode=precisions,
            thread_num=int,
            inter_op_parallel_num=int,
            thread_affinity_mode=int,
            thread_affinity_core_list=list,
        )
        self.gpu = _Gpu(precision_mode=precisions, device_id=int, provider=("", "tensorrt"))
        self.ascend = _Device(
            precision_mode=(
                *("enforce_fp32", "preferred_fp32", "enforce_fp16"),
                *("enforce_origin", "preferred_optimal"),
            ),
            device_id=int,
            rank_id=int,
            provider=("", "ge"),
        )
        self._target = ["cpu"]
        self._group_info_file = ""

    @property
    def group_info_file(self):
        return self._group_info_file

    @group_info_file.setter
    def group_info_file(self, group_info_file):
        check_type("group_info_file", group_info_file, str)
        self._group_info_file = group_info_file

    @property
    def target(self):
        return self._target

    @target.setter
    def target(self, target):
        check_list("target", target, str)
        for each in target:
            if each.lower() not in TARGETS:
                raise ValueError(f"target elements must be in {list(TARGETS)}, but got {each}.")
        self._target = target or ["cpu"]

    @property
    def device(self):
        """What is set for the target."""
        return getattr(self, self._target[0].lower())

    def check(self):
        """What building a model finds wrong."""
        threads, parallel = self.cpu.thread_num, self.cpu.inter_op_parallel_num
        if threads and parallel and parallel > threads:
            raise RuntimeError("inter_op_parallel_num cannot be greater than thread_num")
