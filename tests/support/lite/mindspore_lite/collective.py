"""What ranks of a distributed model do together: they add up what each of them has."""

import hashlib
import socket
import time

from numpy.lib import format as npy

SECONDS = 30


class AllReduce:
    """The sum over all ranks that meet at one place: rank 0 adds it up for everybody.

    Connections end with their processes, so that ranks of one start never meet those of another.
    """

    def __init__(self, place: str, rank: int, size: int) -> None:
        digest = hashlib.sha256(place.encode()).hexdigest()
        self._address = f"\0mindspore-lite-stand-in-{digest[:32]}"
        self._rank = rank
        self._size = size
        self._peers = []

    def __call__(self, part):
        try:
            if not self._peers:
                self._peers = self._callers() if self._rank == 0 else [self._first()]
            return self._total(part)
        except (OSError, ValueError):
            raise RuntimeError("predict failed! a rank is missing") from None

    def _total(self, part):
        if self._rank == 0:
            total = sum((npy.read_array(each) for each in self._peers), part)
            for each in self._peers:
                _write(each, total)
            return total
        (first,) = self._peers
        _write(first, part)
        return npy.read_array(first)

    def _callers(self):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.settimeout(SECONDS)
            listener.bind(self._address)
            listener.listen()
            return [_file(listener.accept()[0]) for _ in range(self._size - 1)]

    def _first(self):
        until = time.monotonic() + SECONDS
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(self._address)
                return _file(connection)
            except OSError:
                connection.close()
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)


def _file(connection):
    connection.settimeout(SECONDS)
    with connection:
        return connection.makefile("rwb")


def _write(peer, array):
    npy.write_array(peer, array)
    peer.flush()
