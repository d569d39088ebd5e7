"""The front door as scripts for versions 1.1 to 1.4 start it: by ip and port."""

from mindspore_serving import server
from mindspore_serving.deprecation import say_deprecated

__all__ = ["start_grpc_server", "start_master_server", "start_restful_server", "stop"]

_HOME = "mindspore_serving.master"
_NEW_HOME = "mindspore_serving.server"


def start_grpc_server(
    ip: str = "0.0.0.0", grpc_port: int = 5500, max_msg_mb_size: int = 100
) -> None:
    """Answer gRPC clients at ``ip:grpc_port``; see ``server.start_grpc_server``."""
    _say("start_grpc_server")
    server.start_grpc_server(f"{ip}:{grpc_port}", max_msg_mb_size)


def start_restful_server(
    ip: str = "0.0.0.0", restful_port: int = 5900, max_msg_mb_size: int = 100
) -> None:
    """Answer RESTful clients at ``ip:restful_port``; see ``server.start_restful_server``."""
    _say("start_restful_server")
    server.start_restful_server(f"{ip}:{restful_port}", max_msg_mb_size)


def start_master_server(ip: str = "127.0.0.1", master_port: int = 6100) -> None:
    """Versions 1.1 and 1.2: let workers of other scripts join. Raises RuntimeError: not supported.

    A master of its own is ``python -m services.master``; any number of workers join it.
    """
    del ip, master_port
    raise RuntimeError(
        "start_master_server is not supported: start the servable in this script with"
        " server.start_servables, or a master of its own with python -m services.master"
    )


def stop() -> None:
    """End every service that this script started; see ``server.stop``."""
    _say("stop")
    server.stop()


def _say(name: str) -> None:
    say_deprecated(f"{_HOME}.{name}", "1.3.0", f"{_NEW_HOME}.{name}")
