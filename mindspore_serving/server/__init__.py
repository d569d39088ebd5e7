"""The server side of a user's scripts: start servables and the front door, stop them.

The services run as child processes of the script and end with it, however it ends.
"""

import functools
import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import ParamSpec, TypeVar

from mindspore_serving.server import register
from mindspore_serving.server.front import GRPC, RESTFUL, SSLConfig, check_front
from mindspore_serving.server.register import (
    AscendDeviceInfo,
    Context,
    CPUDeviceInfo,
    GPUDeviceInfo,
    Model,
    add_stage,
    declare_model,
    register_method,
)
from mindspore_serving.server.stack import Stack
from mindspore_serving.server.start_config import ServableStartConfig, check_keys

__all__ = [
    "AscendDeviceInfo",
    "CPUDeviceInfo",
    "Context",
    "GPUDeviceInfo",
    "Model",
    "SSLConfig",
    "ServableStartConfig",
    "add_stage",
    "declare_model",
    "register",
    "register_method",
    "start_grpc_server",
    "start_restful_server",
    "start_servables",
    "stop",
]

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


class _Running:
    """What this script has started; the original's API knows one server per process."""

    def __init__(self) -> None:
        self._stack: Stack | None = None
        self._parts: set[str] = set()

    def begin(self, part: str, refusal: str) -> Stack:
        """The stack, to start ``part`` on; RuntimeError with ``refusal`` if it was started."""
        if part in self._parts:
            raise RuntimeError(refusal)
        self._parts.add(part)
        if self._stack is None:
            self._stack = Stack()
            _stop_on_signals()
        return self._stack

    def stop(self) -> None:
        """End what was started; everything may be started again then."""
        if self._stack is not None:
            self._stack.stop()
            self._stack = None
        self._parts.clear()


_running = _Running()


def _stops_all_on_failure(
    start: Callable[Parameters, Returned],
) -> Callable[Parameters, Returned]:
    """Whatever a start function raises, nothing that was started stays."""

    @functools.wraps(start)
    def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        try:
            return start(*args, **kwargs)
        except BaseException:
            stop()
            raise

    return guarded


def _stop_on_signals() -> None:
    """The first SIGINT or SIGTERM ends the services, then does what it would have done."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _on_signal)


def _on_signal(number: int, _: FrameType | None) -> None:
    stop()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


@_stops_all_on_failure
def start_servables(
    servable_configs: ServableStartConfig | Sequence[ServableStartConfig],
    enable_lite: bool = False,
) -> None:
    """Start servables; returns when every one of them can be called.

    enable_lite: run MindIR models with MindSpore Lite too, not only those of format MindIR_Lite.
    The process then stays alive until ``stop`` or a signal. Raises RuntimeError with the
    reason when a servable cannot be started; nothing started by this script is left then.
    """
    if not isinstance(enable_lite, bool):
        raise RuntimeError(
            f"Parameter 'enable_lite' should be bool, but actually {type(enable_lite)}"
        )
    configs = (
        servable_configs if isinstance(servable_configs, tuple | list) else (servable_configs,)
    )
    for config in configs:
        if not isinstance(config, ServableStartConfig):
            raise RuntimeError(
                "Parameter 'servable_configs' should be ServableStartConfig, list or tuple of"
                f" ServableStartConfig, but actually {type(config)}"
            )
    check_keys(configs)
    stack = _running.begin("servables", "Serving Error: servables are already running")
    for config in configs:
        stack.start_servable(config, enable_lite=enable_lite)
    threading.Thread(target=stack.watch, name="services").start()


@_stops_all_on_failure
def start_grpc_server(
    address: str, max_msg_mb_size: int = 100, ssl_config: SSLConfig | None = None
) -> None:
    """Answer gRPC clients at ``address`` (HOST:PORT); messages up to ``max_msg_mb_size`` MB.

    Raises RuntimeError when the address cannot be had.
    """
    check_front(GRPC, address, max_msg_mb_size)
    if ssl_config is not None and not isinstance(ssl_config, SSLConfig):
        raise RuntimeError("The type of ssl_config should be type of SSLConfig")
    if ssl_config is not None:
        raise RuntimeError("Parameter 'ssl_config': TLS is not supported yet")
    stack = _running.begin("grpc", "Serving Error: Serving gRPC server is already running")
    try:
        stack.start_master(address, max_msg_mb_size)
    except RuntimeError as failure:
        raise RuntimeError(f"Serving Error: Serving gRPC server start failed, {failure}") from None
    print(f"Serving: Serving gRPC server start success, listening on {address}", flush=True)


@_stops_all_on_failure
def start_restful_server(
    address: str, max_msg_mb_size: int = 100, ssl_config: SSLConfig | None = None
) -> None:
    """Answer clients that speak JSON over HTTP at ``address`` (HOST:PORT).

    max_msg_mb_size: the largest body, in MB, from 1 to 512.
    ssl_config: files for HTTPS; None for HTTP.
    As in the original, failed requests have status 200 too, unless the environment says
    ``MINDSERVE_MASTER_REST_STATUS=honest``. Raises RuntimeError when the address or the files
    cannot be used.
    """
    check_front(RESTFUL, address, max_msg_mb_size)
    if ssl_config is not None and not isinstance(ssl_config, SSLConfig):
        raise RuntimeError("The type of ssl_config should be class of SSLConfig")
    tls = None if ssl_config is None else ssl_config.tls()
    stack = _running.begin("restful", "Serving Error: RESTful server is already running")
    try:
        stack.start_rest_master(address, max_msg_mb_size, tls)
    except RuntimeError as failure:
        raise RuntimeError(f"Serving Error: RESTful server start failed, {failure}") from None
    print(f"Serving: Serving RESTful server start success, listening on {address}", flush=True)


def stop() -> None:
    """End every service this script started; may be called at any time, and again."""
    _running.stop()
