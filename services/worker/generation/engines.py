"""The engines of one language model: one for each agent that holds it."""

from collections.abc import Mapping, Sequence

import structlog

from services.worker.generation.choose import (
    Standing,
    choose,
    choose_roomy,
    for_decoding,
    for_prompts,
)
from services.worker.generation.continuations import Continuation
from services.worker.generation.counts import Counts
from services.worker.generation.declared import Declared
from services.worker.generation.engine import Engine, Join
from services.worker.generation.prompts import Prompt
from services.worker.generation.step_lines import StepLine
from shared.errors import Unavailable
from shared.membership import GenerationRole
from shared.servable import ServableVersion
from shared.tasks import TaskScope

log = structlog.get_logger()


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
        self._prompters: list[Engine] = []
        """Those that get prompts."""
        self._decoders: list[Engine] = []
        """Those that continue texts."""
        self._stands_in = False
        """Whether those compute prompts because nobody else does."""

    def refresh(self, lines: Mapping[str, StepLine]) -> None:
        """Agents changed: these hold the model now."""
        for agent in self._engines.keys() - lines.keys():
            engine = self._engines.pop(agent)
            engine.detach()
            self._orphans.append(engine)
        for agent in sorted(lines.keys() - self._engines.keys()):
            engine = self._engine_for(lines[agent].role)
            engine.attach(lines[agent])
            self._engines[agent] = engine
        self._see_roles()
        if self._engines:
            for orphan in self._orphans:
                for text in orphan.give_up():
                    min(self._prompters, key=lambda each: each.load).adopt(text)
                self._close(orphan)
            self._orphans.clear()

    def _engine_for(self, role: GenerationRole) -> Engine:
        """One that lost an agent of this role, or a new one."""
        for orphan in self._orphans:
            if orphan.role is role:
                self._orphans.remove(orphan)
                return orphan
        return Engine(
            self._what,
            self._model,
            self.declared,
            self._scope,
            role=role,
            stirred=self._hand_over,
        )

    def _see_roles(self) -> None:
        engines = list(self._engines.values())
        roles = [each.role for each in engines]
        self._prompters = [engines[place] for place in for_prompts(roles)]
        self._decoders = [engines[place] for place in for_decoding(roles)]
        for engine in engines:
            if not engine.role.decodes:
                engine.have_takers(bool(self._decoders))
        stands_in = bool(engines) and all(role is GenerationRole.DECODE for role in roles)
        if stands_in is not self._stands_in:
            self._stands_in = stands_in
            log.info("prompts on agents that decode", what=str(self._what), so=stands_in)

    def _hand_over(self) -> None:
        """Held texts go on where there is room, in their order: who finds none holds up others."""
        held = [
            (text, engine)
            for engine in self._prompters
            if not engine.role.decodes
            for text in engine.held
        ]
        held.sort(key=lambda each: each[0].sequence.order)
        for text, giver in held:
            sequence = text.sequence
            place = choose_roomy(
                [
                    Standing(each.load, each.scheduler.known_tokens_of(sequence))
                    if each.scheduler.has_room(sequence)
                    else None
                    for each in self._decoders
                ],
                self.declared.rules.slots,
            )
            if place is None:
                return
            source = giver.lend(text)
            if source is not None:
                self._decoders[place].accept(text, source)

    def add(self, prompt: Prompt, joins: Sequence[Join]) -> list[Continuation]:
        """Continue a prompt, each copy as ``joins`` says.

        Raises InvalidRequest, Overloaded, or Unavailable when there is no agent that decodes.
        """
        engines = self._prompters
        if not self._decoders:
            raise Unavailable(f"{self._what} has no agent now that continues texts")
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
        self._see_roles()

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
    def held(self) -> int:
        """Texts whose prompts are computed, and which wait for an agent that decodes."""
        return sum(len(each.scheduler.held) for each in self._all())

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
