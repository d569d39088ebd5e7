"""What the benchmark has to know about a server of language models."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from benchmarks.peers.environment import Environment
from benchmarks.processes import Command

Start = Callable[[Environment, Path, int], Command]


class Prepare(Protocol):
    """Makes a server's own model of the example's; ``models`` is the folder of the graphs."""

    def __call__(self, environment: Environment, models: Path) -> None: ...


@dataclass(frozen=True, slots=True)
class GenerationPeer:
    """A server that speaks OpenAI's dialect."""

    name: str
    requirements: tuple[str, ...]
    """The first one is the server itself, as NAME==VERSION."""
    remark: str
    """How it was set up, where that is not evident."""
    start: Start
    """The command, of the environment, the folder of the graphs and a port."""
    prepare: Prepare = lambda environment, models: None
    """After its packages were installed, and before every run."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields of requests that it needs, or (null) does not know."""
    model: str = "llm"

    @property
    def package(self) -> str:
        """Whose version it is."""
        return self.requirements[0].partition("==")[0].partition("[")[0]
