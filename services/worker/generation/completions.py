"""What one request gets: the pieces of its choices as they come, and their sum at the end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from services.worker.generation.choices import Choice, joined
from services.worker.generation.continuations import Continuation, News
from shared.bell import Bell
from shared.errors import ServingError
from shared.text_generation import GenerateReply, Piece, ReadPrompt, Usage


class Completions:
    """The choices of one request; it holds no more than their texts have tokens.

    ``cancel`` ends a continuation, ``read_prompt`` says what the first message tells of the
    prompt; ``heard`` is called with the number of tokens that came for a choice.
    """

    def __init__(
        self,
        choices: Sequence[Choice],
        *,
        cancel: Callable[[Continuation], None],
        read_prompt: Callable[[], ReadPrompt | None],
        heard: Callable[[Choice, int], None],
    ) -> None:
        self._now = asyncio.get_running_loop().time
        self.choices = choices
        self._cancel = cancel
        self._read_prompt = read_prompt
        self._heard = heard
        self._pieces: dict[int, Piece] = {}
        """By choice: what was not sent yet."""
        self._came = Bell()
        self._left = len(choices)
        self._sent = False
        self._refusal: ServingError | None = None
        self.failure: ServingError | None = None
        """What the first choice that failed failed of."""
        self.continuations: list[Continuation] = []
        self._started_at = self._now()
        self._first_at: float | None = None
        self._last_at = self._started_at

    def tell(self, choice: Choice, news: News) -> None:
        """Something came of a choice; what comes after its end is of no use."""
        if choice.reason:
            return
        piece = choice.take(news)
        if news.tokens:
            self._last_at = self._now()
            self._first_at = self._first_at or self._last_at
            self._heard(choice, len(piece.token_ids))
        if piece.finish_reason:
            self._left -= 1
            if news.finish is None:
                # Its stop text came: the engine does not know that it ended.
                self._cancel(self.continuations[choice.number])
        if piece.finish_reason == "error":
            self.failure = self.failure or news.error
            if not self._sent and not self._pieces:
                self._refusal = self.failure
        before = self._pieces.get(choice.number)
        self._pieces[choice.number] = piece if before is None else joined(before, piece)
        self._came.ring()

    async def replies(self) -> AsyncIterator[GenerateReply]:
        """What to send, up to the last; raises what went wrong before there was anything."""
        while self._left or self._pieces:
            await self._came.wait()
            if self._refusal is not None and not self._sent:
                raise self._refusal
            pieces = tuple(self._pieces.values())
            self._pieces.clear()
            prompt = None if self._sent else self._read_prompt()
            self._sent = True
            yield GenerateReply(pieces, None if self._left else self._usage(), prompt)

    def end(self) -> None:
        """Nobody listens any more: what still runs ends."""
        for choice, continuation in zip(self.choices, self.continuations, strict=False):
            if not choice.reason:
                self._cancel(continuation)

    def _usage(self) -> Usage:
        first = self.continuations[0]
        sequence = first.sequence
        began = sequence.started_at or self._last_at
        first_at = self._first_at or self._last_at
        return Usage(
            first.prompt_tokens,
            sum(choice.generated for choice in self.choices),
            min(sequence.cached_tokens, first.prompt_tokens),
            max(0.0, began - self._started_at),
            max(0.0, first_at - began),
            self._last_at - first_at,
        )
