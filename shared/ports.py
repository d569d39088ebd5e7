"""Ports for services that another program starts: a script, the demo, a benchmark, a test."""

import errno
import os
import random
import socket
from collections.abc import Container
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_BELOW = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32768
_LOWEST = min(10000, max(1024, _BELOW - 10000))
_BLOCK = 64
_BLOCKS = range(-(-_LOWEST // _BLOCK), _BELOW // _BLOCK)
_random = random.SystemRandom()
_held: dict[int, int] = {}
"""By its number, the descriptor with which this process holds a block."""
_left: list[int] = []
"""Of the block that was taken last, what was not looked at yet."""
_given: set[int] = set()
_LOOPBACK = "127.0.0.1"


def free_port(preferred: int = 0) -> int:
    """A port of loopback that nothing listens on now: ``preferred`` if it can be had.

    No port is given twice, nor to two processes that live at the same time. Others than
    ``preferred`` lie below the range from which the kernel takes ports for outgoing connections
    and for listeners on port 0: one from that range may be in use before the server has it.
    Raises OSError when none is found.
    """
    if preferred and _can_give(preferred):
        _given.add(preferred)
        return preferred
    while True:
        if not _left:
            _left.extend(_ports_of(_another_block()))
        port = _left.pop()
        if _can_give(port):
            _given.add(port)
            return port


def _can_give(port: int) -> bool:
    return port not in _given and _hold(port // _BLOCK) and is_unused(port)


def _another_block() -> int:
    """A block of ports that from now on is this process's alone."""
    for block in _random.sample(_BLOCKS, k=len(_BLOCKS)):
        if block not in _held and _hold(block):
            return block
    raise OSError(f"other processes hold all ports of {_LOOPBACK} between {_LOWEST} and {_BELOW}")


def _ports_of(block: int) -> list[int]:
    """To be taken from the end: ascending from a random one, so that some follow one another."""
    first = _random.randrange(_BLOCK)
    return [block * _BLOCK + (first - index) % _BLOCK for index in range(_BLOCK)]


def _hold(block: int) -> bool:
    """Have a block as long as this process lives; False if another process has it."""
    if block not in _held:
        claim = _claim(block)
        if claim is None:
            return False
        _held[block] = claim.detach()
    return True


def _is_held(block: int) -> bool:
    """Whether a process gives the ports of a block, this one or another."""
    claim = _claim(block)
    if claim is not None:
        claim.close()
    return claim is None


def _claim(block: int) -> socket.socket | None:
    """What holds a block until it is closed; None if something holds it already.

    The kernel keeps such names apart as it does ports, in each network of its own, and frees
    them with the process, however that ends.
    """
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0mindserve-ports-{block}")
    except OSError as failure:
        claim.close()
        if failure.errno != errno.EADDRINUSE:
            raise
        return None
    return claim


def _leave_to_parent() -> None:
    """After a fork: the parent goes on to give the ports of its blocks."""
    for descriptor in _held.values():
        os.close(descriptor)
    _held.clear()
    _left.clear()


os.register_at_fork(after_in_child=_leave_to_parent)


def unused_port(host: str = _LOOPBACK, besides: Container[int] = ()) -> int:
    """A port of ``host``, below that range too, that nothing listens on and nobody was given now.

    ``host`` is an IP address of this machine. Raises OSError when none is found.
    """
    for port in _random.sample(range(_LOWEST, _BELOW), k=min(1000, _BELOW - _LOWEST)):
        if port not in besides and not _is_held(port // _BLOCK) and is_unused(port, host):
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
