"""Unix sockets by their addresses: ``unix:PATH`` has a file, ``unix-abstract:NAME`` has none."""

import errno
import socket
from pathlib import Path


def unix_path(address: str) -> str:
    """What the kernel calls it."""
    kind, _, path = address.partition(":")
    return "\0" + path if kind == "unix-abstract" else path


def remove_abandoned(address: str) -> None:
    """A socket's file outlives a server that was killed; one that somebody serves stays."""
    path = Path(unix_path(address))
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        if probe.connect_ex(str(path)) == errno.ECONNREFUSED:
            path.unlink(missing_ok=True)


def remove(address: str) -> None:
    """The file of a socket that is served no more."""
    Path(unix_path(address)).unlink(missing_ok=True)
