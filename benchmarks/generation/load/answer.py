"""(pure) One streamed answer: what it says, when each piece came, and whether it is right."""

from dataclasses import dataclass
from typing import Any

import orjson

from benchmarks.generation.load.events import DONE, EventReader
from benchmarks.generation.load.order import Asked

FINISHES = ("stop", "length")
_MOST_WORDS = 160


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one request; times in seconds."""

    late: float
    """How long after the moment that was meant for it the request left the generator."""
    first: float
    """From that moment to the first piece of text; 0: there was none."""
    took: float
    """From that moment to the end of the answer."""
    gaps: tuple[float, ...]
    """Between one piece of text and the next."""
    tokens: int
    """Of the completion, as the server counts them."""
    prompt_tokens: int
    error: str
    """Why the answer is none; empty when it is right."""
    same: bool = True
    """Whether the text is the one that was expected; True where none was."""


class Answer:
    """Collects a stream; ``moment`` is when the request was meant to leave."""

    def __init__(self, asked: Asked, moment: float, *, must_reach_length: bool = False) -> None:
        self._asked = asked
        self._moment = moment
        self._must_reach_length = must_reach_length
        self._events = EventReader()
        self._raw = b""
        self._text: list[str] = []
        self._pieces: list[float] = []
        self._usage: dict[str, Any] = {}
        self._finish = ""
        self._error = ""
        self._done = False
        self.status = 0
        self.late = 0.0

    def feed(self, data: bytes, now: float) -> None:
        """Bytes of the body that came at ``now``."""
        if self.status != 200:
            self._raw += data[: _MOST_WORDS - len(self._raw)]
            return
        for event in self._events.feed(data):
            if event == DONE:
                self._done = True
            else:
                self._take(event, now)

    def _take(self, event: bytes, now: float) -> None:
        try:
            said = orjson.loads(event)
            if "error" in said:
                self._fail(f"event: {orjson.dumps(said['error']).decode()}")
                return
            self._usage = said.get("usage") or self._usage
            choices = said.get("choices") or []
            for choice in choices:
                text = choice.get("text") or (choice.get("delta") or {}).get("content") or ""
                if text:
                    self._text.append(text)
                    self._pieces.append(now)
                self._finish = choice.get("finish_reason") or self._finish
        except (ValueError, AttributeError, TypeError):
            self._fail(f"no event of completions: {event[:60]!r}")

    def _fail(self, error: str) -> None:
        self._error = self._error or error[:_MOST_WORDS]

    def end(self, now: float, failure: str = "") -> Answered:
        """The answer is over, or broke by ``failure``."""
        error = self._wrong(failure)
        text = "".join(self._text)
        return Answered(
            late=self.late,
            first=self._pieces[0] - self._moment if self._pieces else 0.0,
            took=now - self._moment,
            gaps=tuple(
                later - earlier
                for earlier, later in zip(self._pieces, self._pieces[1:], strict=False)
            ),
            tokens=self._tokens(),
            prompt_tokens=int(self._usage.get("prompt_tokens") or 0),
            error=error,
            same=self._asked.text is None or (not error and text == self._asked.text),
        )

    def _tokens(self) -> int:
        """As the server counts them; else by the length at which the text was cut, or by pieces."""
        counted = self._usage.get("completion_tokens")
        if counted is None and self._finish == "length":
            return self._asked.max_tokens
        return len(self._pieces) if counted is None else int(counted)

    def _wrong(self, failure: str) -> str:
        """What is wrong first; empty when nothing is."""
        body = self._raw.decode(errors="replace")
        short = self._must_reach_length and self._finish != "length"
        wrong = (
            (bool(failure), failure),
            (self.status != 200, f"status {self.status}: {body}".strip()),
            (bool(self._error), self._error),
            (
                self._finish not in FINISHES,
                f"finish_reason: expected stop or length, got '{self._finish}'",
            ),
            (not self._done, "the stream ended without [DONE]"),
            (short, f"it ended before {self._asked.max_tokens} tokens"),
        )
        return next((words for is_wrong, words in wrong if is_wrong), "")
