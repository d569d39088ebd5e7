"""(pure) What the scaling parts find."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """One load at one size of what a part varies."""

    part: str
    wire: str
    size: int
    """Callers, workers, or bytes of a request's tensor."""
    round: int
    requests: int
    errors: int
    cpu_us: float
    """CPU time per request of all processes; of the master alone where workers are simulated."""
    per_second: float
    p50_ms: float
    p99_ms: float
    pss_mb: float
    """Memory of the same processes after the load."""


@dataclass(frozen=True, slots=True)
class Idle:
    """The master's written memory in bytes around many connections that do nothing."""

    wire: str
    round: int
    connections: int
    before: int
    during: int
    after: int
    """When they have been closed again."""

    @property
    def kb_each(self) -> float:
        return (self.during - self.before) / self.connections / 1e3


@dataclass(frozen=True, slots=True)
class Moment:
    """One sample of a long run."""

    run: str
    """A wire, or ``leaking`` for the control."""
    second: float
    """When the sample ended, from the start of the load."""
    requests: int
    errors: int
    cpu_us: float
    written_mb: float
    """Memory that its processes have written: what files back changes with other processes."""


Found = Point | Idle | Moment
