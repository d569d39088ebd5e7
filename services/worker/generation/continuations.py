"""(pure) Completions that are being made: who is told of each, and how its tokens are chosen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from services.worker.generation.sequences import Finish, Sequence
from services.worker.generation.steps import Logprobs, Outcome, Step
from shared.errors import ServingError
from shared.text_generation import Sampling


class News(NamedTuple):
    """What came of one completion in a step."""

    tokens: tuple[int, ...] = ()
    finish: Finish | None = None
    error: ServingError | None = None
    logprobs: tuple[Logprobs, ...] = ()


@dataclass(slots=True, eq=False)
class Continuation:
    """One completion; it keeps its identity when another agent goes on with it."""

    sampling: Sampling
    """With all tokens that end the text among its stop ids, and a seed of its own."""
    prompt_tokens: int
    tell: Callable[[News], None]
    """Hears what came of it, after the next step was sent."""
    tell_of_prompt: Callable[[int, tuple[Logprobs, ...]], None]
    """Hears how likely tokens of the prompt were, from a position on."""
    sequence: Sequence
    """What the scheduler that has it now knows of it."""


def tell_of_prompts(
    step: Step, outcomes: Mapping[int, Outcome], slots: Mapping[int, Continuation]
) -> None:
    """Tell those who asked how likely tokens of their prompts are, as far as a step says so."""
    for call in step.prefills:
        for chunk in call.chunks:
            outcome = outcomes.get(chunk.slot)
            if outcome is not None and outcome.prompt_logprobs:
                slots[chunk.slot].tell_of_prompt(chunk.first + 1, outcome.prompt_logprobs)


def logprobs_of(
    outcomes: Mapping[int, Outcome], slots: Mapping[int, Continuation]
) -> dict[int, tuple[Logprobs, ...]]:
    """How likely the tokens of a step were, by the numbers of their sequences."""
    return {
        slots[slot].sequence.number: outcome.logprobs
        for slot, outcome in outcomes.items()
        if outcome.logprobs
    }
