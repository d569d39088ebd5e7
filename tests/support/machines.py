"""Two machines on one host: network namespaces with addresses of their own, and a cable."""

import itertools
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_numbers = itertools.count()


class TwoMachines:
    """Machines 0 and 1, joined until ``cut`` and again after ``mend``."""

    def __init__(self) -> None:
        number = next(_numbers)
        self._names = [f"mindserve{os.getpid()}-{number}-{side}" for side in (0, 1)]
        # Interfaces have names of 15 characters at most.
        self._ends = [f"ms{os.getpid() % 100000}n{number}e{side}" for side in (0, 1)]

    def address(self, side: int) -> str:
        """Where a machine is reached from the other one and from itself."""
        return f"10.213.0.{side + 1}"

    def inside(self, side: int) -> Sequence[str]:
        """Put before a command that shall run on a machine."""
        return ["ip", "netns", "exec", self._names[side]]

    def make(self) -> None:
        """Raises CalledProcessError or OSError where namespaces cannot be had."""
        for name in self._names:
            _ip("netns", "add", name)
        _ip("link", "add", self._ends[0], "type", "veth", "peer", "name", self._ends[1])
        for side, (name, end) in enumerate(zip(self._names, self._ends, strict=True)):
            _ip("link", "set", end, "netns", name)
            _ip("-n", name, "address", "add", f"{self.address(side)}/24", "dev", end)
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", end, "up")

    def cut(self) -> None:
        """Nothing passes between the machines any more, and nobody is told."""
        _ip("-n", self._names[1], "link", "set", self._ends[1], "down")

    def mend(self) -> None:
        """What is sent passes again."""
        _ip("-n", self._names[1], "link", "set", self._ends[1], "up")

    def remove(self) -> None:
        """Whatever of it was made."""
        for name in self._names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", self._ends[0]], capture_output=True, check=False)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=10)


@contextmanager
def two_machines() -> Iterator[TwoMachines]:
    """Made on entering, removed on leaving."""
    machines = TwoMachines()
    try:
        machines.make()
        yield machines
    finally:
        machines.remove()
