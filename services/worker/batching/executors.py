"""What the queue asks of agents."""

from collections.abc import Sequence
from typing import Protocol

from shared.arena import Column
from shared.servable import ServableVersion
from shared.stage_graph import ModelCall
from shared.tensors import Array


class Executor(Protocol):
    """An agent that holds the servable version; taken for one batch."""

    async def execute(self, call: ModelCall, columns: Sequence[Column], rows: int) -> list[Array]:
        """Run one batch, stacking its columns; Refused means that it did not begin.

        One that is cancelled while it waits never runs.
        """

    @property
    def waits(self) -> bool:
        """Whether the batch was handed over ahead and waits for the one before it."""

    def release(self) -> None:
        """Let the next batch have it; one that refused rests first."""


class Executors(Protocol):
    """Whoever knows the agents."""

    def max_rows(self, what: ServableVersion, model: str) -> int:
        """Rows of one batch at most; 0 while nobody knows."""

    def take_idle(self, what: ServableVersion) -> Executor | None:
        """The least busy idle agent that holds ``what``, now taken; None when there is none."""

    def take_ahead(self, what: ServableVersion) -> Executor | None:
        """One that has a batch and none after it, taken for that; None when there is none."""
