"""Those who register with a worker: agents that serve alone, and agents that offer a rank."""

from services.worker.agents.agents import Agents
from services.worker.gangs.formation import Formation
from services.worker.servings import Servings
from shared.errors import InvalidRequest
from shared.membership import Hello, Notice, Report


class Members:
    """Tells each of them apart (see ``MemberObserver``)."""

    def __init__(self, servings: Servings) -> None:
        self._servings = servings
        self._observers: dict[str, Agents | Formation] = {}

    def joined(self, hello: Hello) -> Notice | None:
        """Raises InvalidRequest for a rank that no model here has."""
        observer = self._observer_of(hello)
        notice = observer.joined(hello)
        self._observers[hello.member_id] = observer
        return notice

    def _observer_of(self, hello: Hello) -> Agents | Formation:
        if hello.rank is None:
            return self._servings.agents
        if self._servings.ranks is None:
            raise InvalidRequest(f"rank {hello.rank}: this worker serves no distributed model")
        return self._servings.ranks.formation

    def reported(self, hello: Hello, report: Report) -> None:
        """A member said something."""
        self._observers[hello.member_id].reported(hello, report)

    def left(self, hello: Hello, reason: str) -> None:
        """A member is gone, or was never let in."""
        observer = self._observers.pop(hello.member_id, None)
        if observer is not None:
            observer.left(hello, reason)
