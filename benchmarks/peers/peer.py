"""What the benchmark has to know about a server."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from benchmarks.messages import Call
from benchmarks.peers.environment import Environment
from benchmarks.processes import Command
from benchmarks.works import Work


class Peer(Protocol):
    """A server that can do the works."""

    name: str
    protocol: str
    requirements: tuple[str, ...]
    """Packages of its own environment; none: it runs in ours."""
    remark: str
    """How it was set up, where that is not evident."""

    def refuses(self, work: Work) -> str:
        """Why it cannot do ``work``; empty if it can."""
        ...

    def prepare(self, environment: Environment) -> None:
        """What is to be done once after its packages were installed."""
        ...

    def commands(
        self, work: Work, folder: Path, port: int, environment: Environment
    ) -> Sequence[Command]:
        """What to start; ``folder`` is empty and its own, ``port`` is where it is to listen."""
        ...

    def call(self, work: Work) -> Call:
        """One request of ``work``."""
        ...

    def version(self, environment: Environment) -> str:
        """The version that runs."""
        ...
