"""The server side of a user's scripts: start servables and the front door, stop them.

The services run as child processes of the script and end with it, however it ends.
"""

import os
from collections.abc import Sequence
from typing import Any

from mindspore_serving.server import distributed, master, register
from mindspore_serving.server._servable_local import merge_config
from mindspore_serving.server.distributed import declare_servable, start_servable, startup_agents
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
from mindspore_serving.server.script import stop, stops_all_on_failure, this_script
from mindspore_serving.server.stack import GRPC_DOOR, REST_DOOR
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
    "declare_servable",
    "distributed",
    "master",
    "register",
    "register_method",
    "start_grpc_server",
    "start_restful_server",
    "start_servable",
    "start_servables",
    "startup_agents",
    "stop",
]

_REST_STATUS = "MINDSERVE_MASTER_REST_STATUS"


@stops_all_on_failure
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
    stack = this_script.begin("servables", "Serving Error: servables are already running")
    stack.start_servables(merged, masters=masters, listen=listen, enable_lite=enable_lite)
    this_script.stay_alive()


@stops_all_on_failure
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
    stack = this_script.begin("grpc", "Serving Error: Serving gRPC server is already running")
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


@stops_all_on_failure
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
    stack = this_script.begin("restful", "Serving Error: RESTful server is already running")
    arguments = ["--rest-address", address, "--rest-max-message-mb", str(max_msg_mb_size)]
    if _REST_STATUS not in os.environ:
        arguments += ["--rest-status", "compat"]
    failure = f"RESTful server start failed, bind to the socket address {address} failed"
    stack.open_door(REST_DOOR, arguments + _files("rest-", tls), f"Serving Error: {failure}")
    print(f"Serving: Serving RESTful server start success, listening on {address}", flush=True)


@stops_all_on_failure
def accept_workers(address: str) -> None:
    """Let workers of other scripts join at ``address``: ``master.start_master_server``."""
    stack = this_script.begin("master", "Serving Error: Master server is already running")
    stack.accept_workers(address)
    print(f"Serving: Master server start success, listening on {address}", flush=True)
    this_script.stay_alive()


@stops_all_on_failure
def join_master(config: ServableStartConfig, master_address: str, worker_address: str) -> None:
    """Serve ``config`` at the master of another script: ``worker.start_servable``."""
    _start_servables([config], [master_address], worker_address)
