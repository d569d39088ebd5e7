"""Servables as scripts for versions 1.1 to 1.4 start them."""

from importlib import import_module
from types import ModuleType

from mindspore_serving import server
from mindspore_serving.deprecation import say_deprecated
from mindspore_serving.server.front import joined_address
from mindspore_serving.worker import context

__all__ = [
    "context",
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
    server.start_servables(
        _config(servable_directory, servable_name, version_number, device_type, device_id)
    )


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
    """Versions 1.1 and 1.2: start one servable that joins the master of another script.

    master_ip, master_port: what that script gave to ``master.start_master_server``. Either may
    be started first. worker_ip, worker_port: where the master calls.
    """
    say_deprecated(f"{_HOME}.start_servable", "1.3.0", "mindspore_serving.server.start_servables")
    server.join_master(
        _config(servable_directory, servable_name, version_number, device_type, device_id),
        joined_address(master_ip, "master_port", master_port),
        joined_address(worker_ip, "worker_port", worker_port),
    )


def _config(
    directory: str, name: str, version: int, device_type: str | None, device_id: int
) -> server.ServableStartConfig:
    defaults = context.defaults()
    return server.ServableStartConfig(
        directory,
        name,
        device_ids=defaults.device_id if device_id == 0 else device_id,
        version_number=version,
        device_type=context.known_device_type(device_type or defaults.device_type),
    )


def stop() -> None:
    """End every service that this script started; see ``server.stop``."""
    say_deprecated(f"{_HOME}.stop", "1.3.0", "mindspore_serving.server.stop")
    server.stop()
