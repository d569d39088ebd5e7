"""(pure) The graphs that are exported, and the texts that are continued."""

from typing import NamedTuple

ROWS = 16
"""Of the decode batch, and the requests that are in flight at once."""
PROMPT_TOKENS = 48
NEW_TOKENS = 64
FITTED, LONGEST = 128, 256
"""Lengths of the caches that graphs read: one that all texts here fit, and the model's context."""
CHUNK = 64
"""Tokens of a row of a prefill graph."""


class Shape(NamedTuple):
    """Of a graph: rows, new tokens of each, tokens that may be in the cache."""

    rows: int
    tokens: int
    length: int

    def __str__(self) -> str:
        return f"{self.rows}x{self.tokens}x{self.length}"

    @property
    def file(self) -> str:
        """As the example names it."""
        return f"{'decode' if self.tokens == 1 else 'prefill'}_{self}.mindir"


PROMPTS = (1, 4, ROWS)
"""Rows of prefill graphs: where lengths differ, a few texts end, and others start, at a time."""
PREFILL = tuple(Shape(rows, CHUNK, length) for length in (FITTED, LONGEST) for rows in PROMPTS)
DECODE = tuple(Shape(rows, 1, length) for length in (FITTED, LONGEST) for rows in (1, ROWS))


class Text(NamedTuple):
    """A prompt, and what the model says behind it."""

    prompt: str
    tokens: list[int]
    """Of the prompt."""
    following: list[int]
    """The greedy continuation."""
    prefixes: list[str]
    """The continuation's text after each token."""

    def said(self, tokens: int) -> str:
        """The text of so many tokens of the continuation."""
        return self.prefixes[tokens - 1]


def varied_lengths(count: int) -> list[int]:
    """Tokens of completions that differ: 16 to 64, each of them as likely, always the same."""
    quarter = NEW_TOKENS // 4
    return [quarter * (1 + (7 * number + number // 4) % 4) for number in range(count)]
