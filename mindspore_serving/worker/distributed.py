"""Where versions 1.2 to 1.4 had distributed servables, which are not supported yet."""

from typing import Any, NoReturn

__all__ = [
    "declare_distributed_servable",
    "start_distributed_servable",
    "start_distributed_servable_in_master",
    "startup_worker_agents",
]


def declare_distributed_servable(*_: Any, **__: Any) -> NoReturn:
    """Raises RuntimeError: there are no distributed servables yet."""
    _refuse("declare_distributed_servable")


def start_distributed_servable(*_: Any, **__: Any) -> NoReturn:
    """Raises RuntimeError: there are no distributed servables yet."""
    _refuse("start_distributed_servable")


def start_distributed_servable_in_master(*_: Any, **__: Any) -> NoReturn:
    """Raises RuntimeError: there are no distributed servables yet."""
    _refuse("start_distributed_servable_in_master")


def startup_worker_agents(*_: Any, **__: Any) -> NoReturn:
    """Raises RuntimeError: there are no distributed servables yet."""
    _refuse("startup_worker_agents")


def _refuse(name: str) -> NoReturn:
    raise RuntimeError(f"{name}: distributed servables are not part of this version yet")
