"""The front door as scripts for versions 1.1 to 1.4 start it: by ip and port."""

from mindspore_serving import server
from mindspore_serving.deprecation import say_deprecated
from mindspore_serving.master import context
from mindspore_serving.server.front import joined_address

__all__ = ["context", "start_grpc_server", "start_master_server", "start_restful_server", "stop"]

_HOME = "mindspore_serving.master"
_NEW_HOME = "mindspore_serving.server"


def start_grpc_server(
    ip: str = "0.0.0.0", grpc_port: int = 5500, max_msg_mb_size: int = 100
) -> None:
    """Answer gRPC clients at ``ip:grpc_port``; see ``server.start_grpc_server``."""
    _say("start_grpc_server")
    server.start_grpc_server(joined_address(ip, "grpc_port", grpc_port), max_msg_mb_size)


def start_restful_server(
    ip: str = "0.0.0.0", restful_port: int = 5900, max_msg_mb_size: int = 100
) -> None:
    """Answer RESTful clients at ``ip:restful_port``; see ``server.start_restful_server``."""
    _say("start_restful_server")
    server.start_restful_server(joined_address(ip, "restful_port", restful_port), max_msg_mb_size)


def start_master_server(ip: str = "127.0.0.1", master_port: int = 6100) -> None:
    """Versions 1.1 and 1.2: let workers of other scripts join at ``ip:master_port``.

    The process then stays alive until ``stop`` or a signal. Raises RuntimeError when the
    address cannot be had, or when servables were started in this script before.
    """
    say_deprecated(
        f"{_HOME}.start_master_server", "1.3.0", f"{_NEW_HOME}.start_servables' or 'services.master"
    )
    server.accept_workers(joined_address(ip, "master_port", master_port))


def stop() -> None:
    """End every service that this script started; see ``server.stop``."""
    _say("stop")
    server.stop()


def _say(name: str) -> None:
    say_deprecated(f"{_HOME}.{name}", "1.3.0", f"{_NEW_HOME}.{name}")
