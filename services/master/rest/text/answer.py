"""(pure) What every dialect's answer can do, and what all of them need to make one."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shared.errors import ExecutionFailed, rebuild
from shared.text_generation import GenerateReply, GenerateRequest, Piece, Usage

Event = dict[str, Any]
Headers = Sequence[tuple[bytes, bytes]]

# What JSON has no number for, and what lies far below all that matters.
_LOWEST_LOGPROB = -9999.0


class Answer(Protocol):
    """Takes replies as they come, and gives events of a stream or one answer for all."""

    def add(self, prompt: int, reply: GenerateReply) -> Iterable[Event]:
        """The events of one reply to one of the prompts; raises ServingError for a failure."""

    def end(self) -> Iterable[Event]:
        """The events after the last reply."""

    def whole(self) -> Any:
        """The answer of who does not stream, when all replies are there."""

    def headers(self, elapsed_seconds: float) -> Headers:
        """What is said beside a whole answer that took so long."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asked for: prompts to be continued, and what to make of that."""

    requests: Sequence[GenerateRequest]
    answer: Answer
    streams: bool = False
    says_done: bool = False
    """Whether a stream ends with ``[DONE]``."""


@dataclass(frozen=True, slots=True)
class Caller:
    """What is known of a request beside its body."""

    request_id: str
    created: int
    """Seconds since 1970."""
    priority: int = 0
    model: str = ""
    """Named by the path, for bodies that name none."""
    name_of: Callable[[str], str] = str
    """The name of a model that can be called, for what a body says; raises ServingError."""
    seed: int = 0
    """Drawn, for those who name none and want to be told."""


class Counted:
    """The usage of several prompts together."""

    def __init__(self) -> None:
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.cached_tokens = 0
        self.queue_seconds = 0.0
        self.inference_seconds = 0.0

    def add(self, usage: Usage | None) -> None:
        """What one prompt used."""
        if usage is None:
            return
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens
        self.cached_tokens += usage.cached_tokens
        self.queue_seconds = max(self.queue_seconds, usage.queue_seconds)
        inference = usage.prefill_seconds + usage.decode_seconds
        self.inference_seconds = max(self.inference_seconds, inference)


def check(piece: Piece) -> None:
    """Raises the error that a piece names, when there is no more because of one."""
    if piece.finish_reason == "error":
        name, _, _ = piece.error.partition(": ")
        raise rebuild(name, piece.error)
    if piece.finish_reason == "abort":
        raise ExecutionFailed("the generation was aborted")


def shown(text: bytes) -> str:
    """A token's text; what is no whole character becomes U+FFFD."""
    return text.decode(errors="replace")


def logprob(value: float | None) -> float | None:
    """A log-probability as JSON can say it."""
    return None if value is None else max(value, _LOWEST_LOGPROB)
