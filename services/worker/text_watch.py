"""Looks after one request for text: how long it waits for what."""

import time
from collections.abc import Iterable

from services.worker.generation.choices import Choice
from services.worker.text_metrics import TextMetrics
from shared.servable import ServableVersion
from shared.text_generation import Usage


class TextWatch:
    """Observes from the moment at which it is made."""

    def __init__(self, metrics: TextMetrics, what: ServableVersion) -> None:
        # The loop's own clock stands still for a millisecond, which is long between tokens.
        self._now = time.monotonic
        labels = self._labels = (what.servable, what.version)
        self._choices = metrics.choices
        self._first = metrics.first_token_seconds.of(*labels)
        self._between = metrics.between_tokens_seconds.of(*labels)
        self._queue = metrics.queue_seconds.of(*labels)
        self._prompt_tokens = metrics.prompt_tokens.of(*labels)
        self._completion_tokens = metrics.completion_tokens.of(*labels)
        self._seconds = metrics.seconds.of(*labels)
        self._began_at = self._now()
        self._last_at: dict[int, float] = {}

    def heard(self, choice: Choice, tokens: int) -> None:
        """So many tokens came for a choice."""
        now = self._now()
        before = self._last_at.get(choice.number)
        if before is None:
            self._first.observe(now - self._began_at)
        else:
            for _ in range(tokens):
                self._between.observe((now - before) / tokens)
        self._last_at[choice.number] = now
        self._completion_tokens.count += tokens

    def left(self, choices: Iterable[Choice]) -> None:
        """Nothing more is told of these."""
        for choice in choices:
            self._choices.of(*self._labels, choice.reason or "abort").inc()

    def ended(self, usage: Usage) -> None:
        """The last reply was made."""
        self._seconds.observe(self._now() - self._began_at)
        self._queue.observe(usage.queue_seconds)
        self._prompt_tokens.count += usage.prompt_tokens
