"""(pure) How sequences come to a scheduler: as prompts, or as texts that another one had."""

from services.worker.generation.deadlines import Deadlines
from services.worker.generation.line import Line
from services.worker.generation.prompts import Prompt
from services.worker.generation.rules import SchedulerRules
from services.worker.generation.sequences import Sequence
from shared.errors import Overloaded


class Arrivals:
    """Numbers those that come, and lets them wait in their order; ``what`` names their model."""

    def __init__(
        self, what: str, rules: SchedulerRules, waiting: Line, deadlines: Deadlines
    ) -> None:
        self._what = what
        self._rules = rules
        self._waiting = waiting
        self._deadlines = deadlines
        self._count = 0

    def add(self, prompt: Prompt, now: float) -> tuple[Sequence, ...]:
        """One sequence for each copy of a prompt.

        Raises InvalidRequest for what can never be continued, Overloaded when too many wait.
        """
        prompt.check(self._what, self._rules)
        waiting = len(self._waiting)
        if waiting + prompt.copies > self._rules.max_waiting:
            raise Overloaded(
                f"{self._what}: {waiting} sequences wait already, {prompt.copies} more would"
                f" exceed the limit of {self._rules.max_waiting}"
            )
        return self._come(prompt, now + self._rules.handicap(prompt.priority))

    def take_over(self, other: Sequence) -> Sequence:
        """What is left of a text of another scheduler, in its order; that one bounds them."""
        (sequence,) = self._come(other.as_prompt(), other.turn)
        sequence.losses = other.losses
        sequence.started_at, sequence.cached_tokens = other.started_at, other.cached_tokens
        return sequence

    def _come(self, prompt: Prompt, turn: float) -> tuple[Sequence, ...]:
        first = self._count
        self._count += prompt.copies
        came = tuple(
            Sequence(prompt, self._rules, number=number, family=first, turn=turn)
            for number in range(first, self._count)
        )
        for sequence in came:
            self._waiting.add(sequence)
            self._deadlines.keep(sequence, alive=len(self._waiting) + self._rules.slots)
        return came
