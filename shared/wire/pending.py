"""A call of an exchange that waits for its answer."""

import asyncio
from dataclasses import dataclass

from shared.deadline import Deadline
from shared.regions import OwnRegion


@dataclass(slots=True)
class Pending:
    """A call that waits for its answer."""

    id: int
    payload: bytes
    head: bytes
    request_id: str
    subject: str
    answer: asyncio.Future[bytes]
    deadline: Deadline | None
    written: bool = False
    answered: bool = False
    region: OwnRegion | None = None
    """Where the payload lies, if not in a message."""

    def timeout_microseconds(self, now: float) -> int:
        """Time left, as the other side gets it; 0 stands for no deadline."""
        if self.deadline is None:
            return 0
        return max(1, int((self.deadline.at - now) * 1e6))
