"""The engines of one language model: one for each agent that holds it."""

from collections.abc import Mapping, Sequence

from services.worker.generation.choose import Standing, choose
from services.worker.generation.continuations import Continuation
from services.worker.generation.counts import Counts
from services.worker.generation.declared import Declared
from services.worker.generation.engine import Engine, Join, StepLine
from services.worker.generation.prompts import Prompt
from shared.errors import Unavailable
from shared.servable import ServableVersion
from shared.tasks import TaskScope


class Engines:
    """Chooses an engine for each prompt, and finds another one when an agent is lost."""

    def __init__(
        self, what: ServableVersion, model: str, declared: Declared, scope: TaskScope
    ) -> None:
        self.declared = declared
        self._what = what
        self._model = model
        self._scope = scope
        self._engines: dict[str, Engine] = {}
        """By the agents that are there."""
        self._orphans: list[Engine] = []
        """With texts, and without an agent."""
        self._past = Counts()

    def refresh(self, lines: Mapping[str, StepLine]) -> None:
        """Agents changed: these hold the model now."""
        for agent in self._engines.keys() - lines.keys():
            engine = self._engines.pop(agent)
            engine.detach()
            self._orphans.append(engine)
        for agent in sorted(lines.keys() - self._engines.keys()):
            if self._orphans:
                engine = self._orphans.pop(0)
            else:
                engine = Engine(self._what, self._model, self.declared, self._scope)
            engine.attach(lines[agent])
            self._engines[agent] = engine
        if self._engines:
            for orphan in self._orphans:
                for text in orphan.give_up():
                    min(self._engines.values(), key=lambda each: each.load).adopt(text)
                self._close(orphan)
            self._orphans.clear()

    def add(self, prompt: Prompt, joins: Sequence[Join]) -> list[Continuation]:
        """Continue a prompt, each copy as ``joins`` says.

        Raises InvalidRequest, Overloaded, or Unavailable when there is no agent.
        """
        engines = list(self._engines.values())
        if not engines:
            raise Unavailable(f"{self._what} has no agent now")
        place = 0
        if len(engines) > 1:
            standings = [
                Standing(each.load, each.scheduler.known_tokens(prompt)) for each in engines
            ]
            place = choose(standings, self.declared.rules.slots)
        return engines[place].add(prompt, joins)

    def cancel(self, continuation: Continuation) -> None:
        """Nobody wants it any more."""
        for engine in self._all():
            if engine.has(continuation):
                engine.cancel(continuation)

    def close(self) -> None:
        """End all of them."""
        for engine in self._all():
            engine.close()
        self._engines.clear()
        self._orphans.clear()

    def _close(self, engine: Engine) -> None:
        engine.close()
        self._past = self._past + engine.scheduler.counts

    def _all(self) -> list[Engine]:
        return [*self._engines.values(), *self._orphans]

    @property
    def running(self) -> int:
        """Texts that have slots."""
        return sum(each.scheduler.running for each in self._all())

    @property
    def waiting(self) -> int:
        """Texts that wait for one."""
        return sum(each.scheduler.waiting for each in self._all())

    @property
    def cache_use(self) -> float:
        """Which share of all blocks is used by texts that run."""
        count = len(self._engines) * self.declared.rules.blocks
        used = sum(each.scheduler.blocks_used for each in self._engines.values())
        return used / count if count else 0.0

    @property
    def counts(self) -> Counts:
        """Of all engines that there ever were."""
        return sum((each.scheduler.counts for each in self._all()), start=self._past)
