"""A server that is a Python package, and a script of ours that tells it what to serve."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.messages import Call
from benchmarks.peers.environment import Environment
from benchmarks.peers.told import SERVERS, described_for_servers
from benchmarks.processes import Command
from benchmarks.works import Work


@dataclass(frozen=True, slots=True)
class ScriptedPeer:
    """Started with one command: by default a script of ``servers/`` and the port."""

    name: str
    protocol: str
    requirements: tuple[str, ...]
    """The first one is the server itself, as NAME==VERSION."""
    remark: str
    request: Callable[[Work], Call]
    script: str
    command: Callable[[Environment, str, int], Sequence[str]] = lambda environment, script, port: (
        environment.python, script, str(port),
    )  # fmt: skip
    environment: Mapping[str, str] = field(default_factory=dict)
    refusal: Callable[[Work], str] = lambda work: ""

    def refuses(self, work: Work) -> str:
        return self.refusal(work)

    def prepare(self, environment: Environment) -> None:
        """Nothing: the package is all it takes."""

    def commands(
        self, work: Work, folder: Path, port: int, environment: Environment
    ) -> Sequence[Command]:
        return [
            Command(
                self.command(environment, str(SERVERS / self.script), port),
                {**described_for_servers(work), **self.environment},
            )
        ]

    def call(self, work: Work) -> Call:
        return self.request(work)

    def version(self, environment: Environment) -> str:
        return environment.version_of(self.requirements[0].partition("==")[0].partition("[")[0])
