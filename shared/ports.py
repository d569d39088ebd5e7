"""Ports for services that another program starts: a script, the demo, a benchmark, a test."""

import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_BELOW = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32768
_LOWEST = min(10000, max(1024, _BELOW - 10000))
_random = random.SystemRandom()
_given: set[int] = set()


def free_port(preferred: int = 0) -> int:
    """A port of loopback that nothing listens on now: ``preferred`` if it can be had.

    No port is given twice. Others than ``preferred`` lie below the range from which the kernel
    takes ports for outgoing connections and for listeners on port 0: one from that range may
    be in use before the server has it. Raises OSError when none is found.
    """
    if preferred and preferred not in _given and _unused(preferred):
        _given.add(preferred)
        return preferred
    for port in _random.sample(range(_LOWEST, _BELOW), k=min(1000, _BELOW - _LOWEST)):
        if port in _given or not _unused(port):
            continue
        _given.add(port)
        return port
    raise OSError(f"1000 ports between {_LOWEST} and {_BELOW} are all in use")


def _unused(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do; else one that has just ended keeps its port from us for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
