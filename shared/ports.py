"""Ports for services that another program starts: a script, the demo, a benchmark, a test."""

import errno
import random
import socket
from collections.abc import Container
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_BELOW = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32768
_LOWEST = min(10000, max(1024, _BELOW - 10000))
_random = random.SystemRandom()
_given: set[int] = set()
_LOOPBACK = "127.0.0.1"


def free_port(preferred: int = 0) -> int:
    """A port of loopback that nothing listens on now: ``preferred`` if it can be had.

    No port is given twice. Others than ``preferred`` lie below the range from which the kernel
    takes ports for outgoing connections and for listeners on port 0: one from that range may
    be in use before the server has it. Raises OSError when none is found.
    """
    if preferred and preferred not in _given and is_unused(preferred):
        _given.add(preferred)
        return preferred
    port = unused_port(besides=_given)
    _given.add(port)
    return port


def unused_port(host: str = _LOOPBACK, besides: Container[int] = ()) -> int:
    """A port of ``host``, below that range too, that nothing listens on now.

    ``host`` is an IP address of this machine. Raises OSError when none is found.
    """
    for port in _random.sample(range(_LOWEST, _BELOW), k=min(1000, _BELOW - _LOWEST)):
        if port not in besides and is_unused(port, host):
            return port
    raise OSError(f"1000 ports of {host} between {_LOWEST} and {_BELOW} are all in use")


def is_unused(port: int, host: str = _LOOPBACK) -> bool:
    """Whether a server could listen there now; raises OSError for a foreign ``host``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do; else one that has just ended keeps its port from us for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as failure:
            if failure.errno != errno.EADDRINUSE:
                raise
            return False
    return True
