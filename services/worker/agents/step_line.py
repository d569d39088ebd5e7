"""The way of a language model's steps to one agent."""

from shared.servable import ServableVersion
from shared.wire.link import Link


class StepLine:
    """Carries steps, which the agent does one after the other."""

    takes_ahead = True

    def __init__(self, link: Link, what: ServableVersion) -> None:
        self._link = link
        self._what = what

    async def run(self, head: bytes, step: bytes) -> bytes:
        """Have the agent do a step.

        Raises Refused (not begun), AgentLost, DeviceHung, ExecutionFailed or InvalidRequest.
        """
        return await self._link.call(step, head=head, subject=str(self._what))
