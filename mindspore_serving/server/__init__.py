"""The server side of a user's scripts: start servables and the front door, stop them.

The services run as child processes of the script and end with it, however it ends.
"""

import functools
import os
import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from mindspore_serving import log
from mindspore_serving.server import distributed, master, register
from mindspore_serving.server._servable_local import merge_config
from mindspore_serving.server.front import (
    GRPC,
    GRPC_FAILED,
    RESTFUL,
    SSLConfig,
    check_front,
)
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
from mindspore_serving.server.stack import GRPC_DOOR, REST_DOOR, Stack
from mindspore_serving.server.start_config import ServableStartConfig
from shared.wire.tls import ServerTls

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
    "distributed",
    "master",
    "register",
    "register_method",
    "start_grpc_server",
    "start_restful_server",
    "start_servables",
    "stop",
]

_REST_STATUS = "MINDSERVE_MASTER_REST_STATUS"
Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


class _Running:
    """What this script has started; the original's API knows one server per process."""

    def __init__(self) -> None:
        self._stack: Stack | None = None
        self._parts: set[str] = set()
        self._watched = False

    def begin(self, part: str, refusal: str) -> Stack:
        """The stack, to start ``part`` on; RuntimeError with ``refusal`` if it was started."""
        if part in self._parts:
            raise RuntimeError(refusal)
        self._parts.add(part)
        if self._stack is None:
            self._stack = Stack()
            _stop_on_signals()
        return self._stack

    def stay_alive(self) -> None:
        """Keep this process, and what it started, alive until ``stop``."""
        if self._stack is not None and not self._watched:
            self._watched = True
            threading.Thread(target=self._watch, args=[self._stack], name="services").start()

    def _watch(self, stack: Stack) -> None:
        if stack.watch() and self._stack is stack:
            self.stop()
            log.error("No servable of this script can be called any more: it has stopped serving")

    def stop(self) -> None:
        """End what was started; everything may be started again then."""
        stack = self._stack
        if stack is not None:
            stack.stop()
        self.forget()

    def forget(self) -> None:
        """Have started nothing: a child made by fork owns none of its parent's services."""
        if self._stack is not None:
            self._stack.let_go()
        self._stack = None
        self._watched = False
        self._parts.clear()


_running = _Running()
os.register_at_fork(after_in_child=_running.forget)


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
    _start_servables(_listed(servable_configs), enable_lite=enable_lite)


def _listed(given: Any) -> Sequence[ServableStartConfig]:
    name = "servable_configs"
    if isinstance(given, ServableStartConfig):
        return (given,)
    if not isinstance(given, tuple | list):
        raise RuntimeError(
            f"Parameter '{name}' should be ServableStartConfig, list or tuple of"
            f" ServableStartConfig, but actually {type(given)}"
        )
    for each in given:
        if not isinstance(each, ServableStartConfig):
            raise RuntimeError(
                f"The item of parameter '{name}' should be ServableStartConfig, but actually"
                f" {type(each)}"
            )
    if not given:
        raise RuntimeError(f"Parameter '{name}' should not be empty")
    return given


def _start_servables(
    configs: Sequence[ServableStartConfig],
    masters: Sequence[str] = (),
    listen: str = "",
    *,
    enable_lite: bool = False,
) -> None:
    merged = merge_config(configs)
    stack = _running.begin("servables", "Serving Error: servables are already running")
    stack.start_servables(merged, masters=masters, listen=listen, enable_lite=enable_lite)
    _running.stay_alive()


@_stops_all_on_failure
def start_grpc_server(
    address: str, max_msg_mb_size: int = 100, ssl_config: SSLConfig | None = None
) -> None:
    """Answer gRPC clients at ``address`` (HOST:PORT or unix:PATH).

    max_msg_mb_size: the largest request, in MB, from 1 to 512.
    ssl_config: files for TLS; None for plain text.
    Raises RuntimeError when the address or the files cannot be used.
    """
    check_front(GRPC, address, max_msg_mb_size)
    if ssl_config is not None and not isinstance(ssl_config, SSLConfig):
        raise RuntimeError("The type of ssl_config should be type of SSLConfig")
    try:
        tls = None if ssl_config is None else ssl_config.tls()
    except RuntimeError as failure:
        reason = str(failure).removeprefix("Serving Error: ")
        raise RuntimeError(f"{GRPC_FAILED}{address}: {reason}") from None
    stack = _running.begin("grpc", "Serving Error: Serving gRPC server is already running")
    arguments = ["--listen", address, "--max-message-mb", str(max_msg_mb_size)]
    stack.open_door(GRPC_DOOR, arguments + _files("", tls), GRPC_FAILED + address)
    print(f"Serving: Serving gRPC server start success, listening on {address}", flush=True)


def _files(prefix: str, tls: ServerTls | None) -> list[str]:
    """The TLS files of a door, as a master is told of them."""
    if tls is None:
        return []
    arguments = [f"--{prefix}tls-certificate", str(tls.certificate)]
    arguments += [f"--{prefix}tls-key", str(tls.key)]
    if tls.client_ca is not None:
        arguments += [f"--{prefix}tls-client-ca", str(tls.client_ca)]
    return arguments


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
    arguments = ["--rest-address", address, "--rest-max-message-mb", str(max_msg_mb_size)]
    if _REST_STATUS not in os.environ:
        arguments += ["--rest-status", "compat"]
    failure = f"RESTful server start failed, bind to the socket address {address} failed"
    stack.open_door(REST_DOOR, arguments + _files("rest-", tls), f"Serving Error: {failure}")
    print(f"Serving: Serving RESTful server start success, listening on {address}", flush=True)


def stop() -> None:
    """End every service this script started; may be called at any time, and again."""
    _running.stop()


@_stops_all_on_failure
def accept_workers(address: str) -> None:
    """Let workers of other scripts join at ``address``: ``master.start_master_server``."""
    stack = _running.begin("master", "Serving Error: Master server is already running")
    stack.accept_workers(address)
    print(f"Serving: Master server start success, listening on {address}", flush=True)
    _running.stay_alive()


@_stops_all_on_failure
def join_master(config: ServableStartConfig, master_address: str, worker_address: str) -> None:
    """Serve ``config`` at the master of another script: ``worker.start_servable``."""
    _start_servables([config], [master_address], worker_address)
