"""Version 1.1: on which device the servable of a script runs."""

from dataclasses import dataclass
from typing import Any

from mindspore_serving.deprecation import say_deprecated

__all__ = ["set_context"]


@dataclass(slots=True)
class Defaults:
    """The device of a servable whose start names none."""

    device_type: str | None = None
    device_id: int = 0


_defaults = Defaults()


def set_context(**kwargs: Any) -> None:
    """Set ``device_type`` ("Ascend", "Davinci", "GPU", "CPU", None) or ``device_id``.

    They hold for servables that are started afterwards without naming a device. Raises
    RuntimeError for other keywords; values are checked when a servable starts.
    """
    say_deprecated(
        "mindspore_serving.worker.context.set_context",
        "1.2.0",
        "mindspore_serving.server.ServableStartConfig",
    )
    for name, value in kwargs.items():
        if name not in Defaults.__slots__:
            raise RuntimeError(f"Not support context key '{name}'")
        setattr(_defaults, name, value)


def defaults() -> Defaults:
    """What was set last."""
    return _defaults


def known_device_type(device_type: str | None) -> str | None:
    """Ascend under the name it had in the first versions."""
    is_old = isinstance(device_type, str) and device_type.lower() == "davinci"
    return "Ascend" if is_old else device_type
