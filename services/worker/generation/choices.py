"""(pure) One choice of a request: what its tokens say, up to where it ends."""

import codecs
from dataclasses import replace
from typing import Protocol

from services.worker.generation.continuations import News
from services.worker.generation.prompts import Limits
from services.worker.generation.sequences import Finish
from services.worker.generation.steps import Logprobs
from services.worker.language.stops import Stops
from shared.text_generation import Alternative, GenerateRequest, Piece, Token

_REASONS = {
    Finish.STOP: "stop", Finish.LENGTH: "length", Finish.ABORT: "abort", Finish.ERROR: "error",
    Finish.DEADLINE: "error",
}  # fmt: skip


class Tokens(Protocol):
    """What is known of a tokenizer's tokens."""

    special: frozenset[int]

    def bytes_of(self, token: int) -> bytes:
        """What a token adds to a text, as UTF-8."""


class Choice:
    """Makes text of tokens as they come.

    What may be half a character, or the beginning of a stop text, is held back.
    """

    def __init__(
        self, number: int, tokens: Tokens, limits: Limits, request: GenerateRequest
    ) -> None:
        self.number = number
        self.generated = 0
        self.reason = ""
        """Why it ended; empty: it goes on."""
        self._tokens = tokens
        self._limits = limits
        self._include_stop = request.include_stop
        self._details = request.details or request.sampling.logprobs is not None
        self._skipped = tokens.special if request.skip_special_tokens else frozenset()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = Stops(request.stop, include=request.include_stop)

    def take(self, news: News) -> Piece:
        """What came; its text may be empty. After a stop text the choice is finished."""
        text = ""
        taken = 0
        for token in news.tokens:
            taken += 1
            self.generated += 1
            ends = news.finish is Finish.STOP and taken == len(news.tokens)
            text += self._text_of(token, ends=ends)
            if self._stops.stopped_by:
                break
        finish = news.finish
        if finish is not None and not self._stops.stopped_by:
            text += self._stops.feed(self._decoder.decode(b"", final=True))
            text += self._stops.flush()
        if self._stops.stopped_by:
            finish = Finish.STOP
        self.reason = "" if finish is None else _REASONS[finish]
        return Piece(
            self.number,
            text,
            news.tokens[:taken],
            self.reason,
            self._stops.stopped_by,
            _told(news) if finish in (Finish.ERROR, Finish.DEADLINE) else "",
            self._details_of(news, taken) if self._details else (),
        )

    def _text_of(self, token: int, *, ends: bool) -> str:
        is_stop = ends and self._limits.stops_at(token, self.generated)
        if token in self._skipped or (is_stop and not self._include_stop):
            added = b""
        else:
            added = self._tokens.bytes_of(token)
        text = self._decoder.decode(added)
        if self.generated < self._limits.min_tokens:
            return self._stops.pass_by(text)
        return self._stops.feed(text)

    def _details_of(self, news: News, taken: int) -> tuple[Token, ...]:
        if not news.logprobs:
            return tuple(token_of(self._tokens, token) for token in news.tokens[:taken])
        pairs = zip(news.tokens[:taken], news.logprobs, strict=False)
        return tuple(token_of(self._tokens, token, told) for token, told in pairs)


def token_of(tokens: Tokens, token: int, told: Logprobs | None = None) -> Token:
    """What callers are told of one token."""
    plain = Token(token, tokens.bytes_of(token), token in tokens.special)
    if told is None:
        return plain
    alternatives = tuple(
        Alternative(each, tokens.bytes_of(each), logprob, each in tokens.special)
        for each, logprob in zip(told.ids, told.logprobs, strict=True)
    )
    return replace(plain, logprob=told.logprob, rank=told.rank, alternatives=alternatives)


def joined(first: Piece, second: Piece) -> Piece:
    """Two pieces of one choice as one."""
    return replace(
        second,
        text=first.text + second.text,
        token_ids=first.token_ids + second.token_ids,
        tokens=first.tokens + second.tokens,
    )


def _told(news: News) -> str:
    return "" if news.error is None else f"{type(news.error).__name__}: {news.error.message}"
