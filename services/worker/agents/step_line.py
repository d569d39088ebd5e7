"""The way of a language model's steps to one agent."""

import structlog

from services.worker.agents.taken import JoinedAgent
from shared.errors import MemoryNotShared
from shared.membership import GenerationRole
from shared.servable import ServableVersion

log = structlog.get_logger()


class StepLine:
    """Carries steps, which the agent does one after the other."""

    takes_ahead = True

    def __init__(self, agent: JoinedAgent, what: ServableVersion) -> None:
        self._agent = agent
        self._what = what

    @property
    def role(self) -> GenerationRole:
        """What the agent is for."""
        return self._agent.generation_role

    @property
    def shares_memory(self) -> bool:
        """Whether its device process reaches memory of this one, as far as is known."""
        return self._agent.is_here

    async def run(self, head: bytes, step: bytes) -> bytes:
        """Have the agent do a step.

        Raises Refused (not begun), AgentLost, DeviceHung, ExecutionFailed or InvalidRequest.
        """
        try:
            return await self._agent.link.call(step, head=head, subject=str(self._what))
        except MemoryNotShared as failure:
            log.info("caches travel inside messages", reason=failure.message)
            self._agent.shares_memory = False
            raise
