"""The ways of steps to agents, as engines see them."""

from typing import Protocol

from shared.errors import ServingError
from shared.membership import GenerationRole


class StepLine(Protocol):
    """The way to one agent."""

    @property
    def takes_ahead(self) -> bool:
        """Whether it may be given a step while the one before it is under way."""

    @property
    def role(self) -> GenerationRole:
        """What the agent is for."""

    @property
    def shares_memory(self) -> bool:
        """Whether it reaches memory of this process, as far as is known."""

    async def run(self, head: bytes, step: bytes) -> bytes:
        """Have it do one step; raises a ServingError."""


async def answer_of(line: StepLine, head: bytes, step: bytes) -> bytes | ServingError:
    """The answer, or why there is none: a failed step does not end the worker."""
    try:
        return await line.run(head, step)
    except ServingError as failure:
        return failure
