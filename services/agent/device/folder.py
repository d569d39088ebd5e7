"""Where device processes work: temporary folders that outlive no agent for long."""

import contextlib
import fcntl
import os
from pathlib import Path
from shutil import rmtree
from tempfile import gettempdir, mkdtemp

_PREFIX = "mindserve-device-"
_LOCK = ".agent"


class Folder:
    """A new folder of this agent; what agents that were killed have left is removed first.

    Its agent holds the lock of a file in it, which ends with the agent, however that ends.
    """

    def __init__(self) -> None:
        for left in Path(gettempdir()).glob(f"{_PREFIX}*"):
            _remove_if_left(left)
        self.path = Path(mkdtemp(prefix=_PREFIX))
        unlocked = self.path / f"{_LOCK}.new"
        self._lock = os.open(unlocked, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # Only now: nobody ever sees the file without its lock.
        unlocked.rename(self.path / _LOCK)

    def remove(self) -> None:
        """Remove it, with whatever is in it."""
        rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _remove_if_left(folder: Path) -> None:
    with contextlib.suppress(OSError):  # somebody else's, locked, or just removed
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if folder.lstat().st_uid == os.geteuid():
                rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
