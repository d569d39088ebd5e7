"""(pure) What a device process is told to load, as it travels in a LOAD frame.

The key of encrypted models is no part of it: it is the frame's payload.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from shared.membership import Device, GangPart, ModelFiles
from shared.servable import DeviceOptions, LanguageGraphs, ModelOptions


@dataclass(frozen=True, slots=True)
class LoadMessage:
    """The models of one servable version, and the device to load them onto."""

    device: Device
    models: tuple[ModelFiles, ...]
    decryption_mode: str = ""
    """How the payload decrypts the models' files; empty when there is no key."""
    part: GangPart | None = None
    """Of the device process in a gang."""

    def written(self) -> bytes:
        """As the head of a frame."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def read(cls, head: bytes) -> "LoadMessage":
        """From the head of a frame."""
        told = json.loads(head)
        models = tuple(map(_files, told["models"]))
        part = GangPart(**told["part"]) if told["part"] else None
        return cls(Device(**told["device"]), models, told["decryption_mode"], part)


def _files(told: dict[str, Any]) -> ModelFiles:
    tuples = {name: tuple(told[name]) for name in ("paths", "without_batch_dim_inputs")}
    language = LanguageGraphs(**told["language"]) if told["language"] else None
    return ModelFiles(
        **told | tuples | {"options": _options(told["options"]), "language": language}
    )


def _options(told: dict[str, Any]) -> ModelOptions:
    devices = tuple(
        DeviceOptions(each["type"], tuple((name, value) for name, value in each["values"]))
        for each in told["devices"]
    )
    cores = tuple(told["thread_affinity_core_list"])
    return ModelOptions(**told | {"devices": devices, "thread_affinity_core_list": cores})
