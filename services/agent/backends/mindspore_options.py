"""What of a model's options MindSpore takes: for the whole process, and once."""

from collections.abc import Set
from typing import Any

from shared.membership import Device
from shared.servable import ModelOptions

_PRECISION = "precision_mode"


class Configured:
    """The options of the first model that had them; a device process holds one servable version.

    Source: mindspore.device_context.cpu.op_tuning, mindspore.device_context.ascend.op_precision
    """

    def __init__(self, ms: Any, device: Device) -> None:
        self._ms = ms
        self._device = device
        self._threads: int | None = None
        self._precision: str | None = None

    def act_on(self, options: ModelOptions) -> None:
        """Tell MindSpore, unless it was told already."""
        if options.thread_num is not None and self._threads is None:
            self._threads = options.thread_num
            self._ms.device_context.cpu.op_tuning.threads_num(options.thread_num)
        precision = self._ascend_precision(options)
        if precision is not None and self._precision is None:
            self._precision = precision
            self._ms.device_context.ascend.op_precision.precision_mode(precision)

    def acting(self, options: ModelOptions) -> Set[str]:
        """Names of those options of a model that hold here."""
        return {
            name
            for name, wanted, told in (
                ("thread_num", options.thread_num, self._threads),
                (f"ascend {_PRECISION}", self._ascend_precision(options), self._precision),
            )
            if wanted is not None and wanted == told
        }

    def _ascend_precision(self, options: ModelOptions) -> str | None:
        if self._device.type != "Ascend":
            return None
        return options.values_for(self._device.type).get(_PRECISION)
