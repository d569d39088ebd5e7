"""Whether a child process listens already, which does not say so."""

from collections.abc import Iterator
from pathlib import Path

_LISTEN = "0A"


def listens(pid: int, port: int) -> bool:
    """Whether that process, of the same user, has a socket that listens on ``port``.

    Asked of the kernel, because a connection would be one that MindSpore does not expect.
    """
    try:
        sockets = {f"socket:[{inode}]" for inode in _inodes(pid, port)}
        return bool(sockets) and any(
            str(each.readlink()) in sockets for each in Path(f"/proc/{pid}/fd").iterdir()
        )
    except OSError:
        # The process, or a socket of it, ended meanwhile.
        return False


def _inodes(pid: int, port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, address, _, state, *rest = line.split()
            if state == _LISTEN and int(address.rpartition(":")[2], 16) == port:
                yield rest[5]
