"""One batch on its way through the agent."""

from dataclasses import dataclass

from shared.servable import ServableVersion


@dataclass(frozen=True, slots=True)
class Work:
    """A batch for one model, as the worker wrote it."""

    what: ServableVersion
    model: str
    rows: int
    head: bytes
    """An ExecuteHead."""
    request: bytes
    """An ExecuteRequest."""
    epoch: int = 0
    """Of the gang that it was meant for; 0 for none."""

    def __str__(self) -> str:
        return f"{self.what}, model '{self.model}', {self.rows} rows"


@dataclass(frozen=True, slots=True)
class Done:
    """An ExecuteReply, and the seconds that the backend took."""

    reply: bytes
    device_seconds: float
