"""(pure) Prompts: what is to be continued, and when a completion ends by itself."""

from dataclasses import dataclass

from services.worker.generation.rules import SchedulerRules
from shared.deadline import Deadline
from shared.errors import InvalidRequest
from shared.urgency import DEFAULT_PRIORITY


@dataclass(frozen=True, slots=True)
class Limits:
    """When a completion ends by itself."""

    max_new_tokens: int
    min_tokens: int = 0
    """So many tokens are made before one of them may stop the sequence."""
    eos_ids: frozenset[int] = frozenset()
    """What the model ends a text with."""
    stop_ids: frozenset[int] = frozenset()
    """What the caller wants it to end with besides."""
    ignore_eos: bool = False

    def stops_at(self, token: int, generated: int) -> bool:
        """Whether this token ends a completion that has ``generated`` tokens with it."""
        if generated < self.min_tokens:
            return False
        return token in self.stop_ids or (token in self.eos_ids and not self.ignore_eos)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text that is to be continued, once or several times."""

    tokens: tuple[int, ...]
    limits: Limits
    copies: int = 1
    """How many completions of it are wanted."""
    priority: int = DEFAULT_PRIORITY
    deadline: Deadline | None = None
    adapter: int = 0
    """Which of the model's adapters continues it; 0: none."""
    salt: str = ""
    """Only prompts with the same salt share blocks."""

    def check(self, what: str, rules: SchedulerRules) -> None:
        """Raises InvalidRequest for a prompt that can never be continued here."""
        limits = self.limits
        if not self.tokens:
            raise InvalidRequest(f"{what}: prompt: expected at least 1 token, got none")
        for token in (min(self.tokens), max(self.tokens)):
            if not 0 <= token < rules.vocabulary:
                raise InvalidRequest(
                    f"{what}: prompt: expected token ids from 0 to {rules.vocabulary - 1},"
                    f" got {token}"
                )
        if limits.max_new_tokens < 1:
            raise InvalidRequest(
                f"{what}: max_new_tokens: expected at least 1, got {limits.max_new_tokens}"
            )
        if not 0 <= limits.min_tokens <= limits.max_new_tokens:
            raise InvalidRequest(
                f"{what}: min_tokens: expected 0 to max_new_tokens ({limits.max_new_tokens}),"
                f" got {limits.min_tokens}"
            )
        if not 1 <= self.copies <= rules.max_waiting:
            raise InvalidRequest(
                f"{what}: copies: expected 1 to {rules.max_waiting}, got {self.copies}"
            )
        if self.priority < 0:
            raise InvalidRequest(f"{what}: priority: expected at least 0, got {self.priority}")
        if len(self.tokens) + 1 > rules.context:
            raise InvalidRequest(
                f"{what}: prompt: expected at most {rules.context - 1} tokens, so that one more"
                f" fits into the context of {rules.context}, got {len(self.tokens)}"
            )
        if len(self.tokens) + 1 > rules.capacity:
            raise InvalidRequest(
                f"{what}: prompt: expected at most {rules.capacity - 1} tokens, so that one more"
                f" fits into the cache of {rules.blocks} blocks of {rules.block_size} tokens,"
                f" got {len(self.tokens)}"
            )
