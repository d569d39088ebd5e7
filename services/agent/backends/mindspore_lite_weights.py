"""Has models of one Ascend share their weights: MindSpore Lite's ModelGroup.

Source: https://www.mindspore.cn/lite/api/en/master/mindspore_lite/mindspore_lite.ModelGroup.html
"""

from collections.abc import Sequence
from typing import Any

from shared.errors import LoadFailed
from shared.membership import Device, ModelFiles

OPTION = "weight_group"


class WeightGroups:
    """The groups of one device process, by the names that models gave them."""

    def __init__(self, lite: Any) -> None:
        self._lite = lite
        self._groups: dict[str, Any] = {}

    def join(self, files: ModelFiles, device: Device, provider: str, graphs: Sequence[Any]) -> None:
        """Put graphs that are not built yet into the group that their model names, if it does.

        Raises LoadFailed where weights cannot be shared.
        """
        name = files.options.values_for(device.type).get(OPTION)
        if name is None:
            return
        where = f"model '{files.key}': {device.type} option '{OPTION}'"
        if provider != "ge":
            raise LoadFailed(f"{where} needs the option provider='ge'")
        if not hasattr(self._lite, "ModelGroup"):
            raise LoadFailed(f"{where} needs a MindSpore Lite that has ModelGroup, from 2.1 on")
        if name not in self._groups:
            self._groups[name] = self._lite.ModelGroup(self._lite.ModelGroupFlag.SHARE_WEIGHT)
        try:
            self._groups[name].add_model(list(graphs))
        except RuntimeError as failure:
            raise LoadFailed(f"{where}: MindSpore Lite refused the group '{name}'") from failure
