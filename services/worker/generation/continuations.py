"""(pure) Completions that are being made: who is told of each, and how its tokens are chosen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from services.worker.generation.sequences import Finish, Sequence
from services.worker.generation.steps import Logprobs
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
