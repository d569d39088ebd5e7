"""Servables as scripts for versions 1.1 to 1.4 start them."""

from importlib import import_module
from types import ModuleType

from mindspore_serving import server
from mindspore_serving.deprecation import say_deprecated

__all__ = [
    "distributed",
    "register",
    "start_servable",
    "start_servable_in_master",
    "stop",
]

_HOME = "mindspore_serving.worker"
_MODULES = ("distributed", "register")


def __getattr__(name: str) -> ModuleType:
    """``register`` and ``distributed``, imported when asked for: the import logs a line."""
    if name in _MODULES:
        return import_module(f"{_HOME}.{name}")
    raise AttributeError(f"module '{_HOME}' has no attribute '{name}'")


def start_servable_in_master(
    servable_directory: str,
    servable_name: str,
    version_number: int = 0,
    device_type: str | None = None,
    device_id: int = 0,
) -> None:
    """Start one servable on one device; see ``server.start_servables``."""
    say_deprecated(
        f"{_HOME}.start_servable_in_master", "1.3.0", "mindspore_serving.server.start_servables"
    )
    config = server.ServableStartConfig(
        servable_directory,
        servable_name,
        device_ids=device_id,
        version_number=version_number,
        device_type=_known_device_type(device_type),
    )
    server.start_servables(config)


def start_servable(
    servable_directory: str,
    servable_name: str,
    version_number: int = 0,
    device_type: str | None = None,
    device_id: int = 0,
    master_ip: str = "0.0.0.0",
    master_port: int = 6100,
    worker_ip: str = "0.0.0.0",
    worker_port: int = 6200,
) -> None:
    """Versions 1.1 and 1.2: join the master of another script. Raises RuntimeError: not supported.

    A worker of its own is ``python -m services.worker``; it joins the masters it is told of.
    """
    del servable_directory, version_number, device_type, device_id
    del master_ip, master_port, worker_ip, worker_port
    raise RuntimeError(
        f"start_servable is not supported: start servable '{servable_name}' in the script of the"
        " master with server.start_servables, or a worker of its own with"
        " python -m services.worker"
    )


def stop() -> None:
    """End every service that this script started; see ``server.stop``."""
    say_deprecated(f"{_HOME}.stop", "1.3.0", "mindspore_serving.server.stop")
    server.stop()


def _known_device_type(device_type: str | None) -> str | None:
    """Ascend under the name it had in the first versions."""
    is_old = isinstance(device_type, str) and device_type.lower() == "davinci"
    return "Ascend" if is_old else device_type
