"""(pure) What may come next, guessed from the text itself: what followed the last time."""

from collections.abc import Sequence

# The longest run of last tokens that is looked for, and the shortest.
_NGRAMS = (3, 2)


class PromptLookup:
    """Where each n-gram of one text was last followed by something."""

    __slots__ = ("_followed_at", "_known")

    def __init__(self) -> None:
        self._followed_at: dict[tuple[int, ...], int] = {}
        self._known = 0

    def propose(self, tokens: Sequence[int], count: int) -> tuple[int, ...]:
        """Up to ``count`` tokens that may follow a text, which only ever grows; () if unknown."""
        if count <= 0:
            return ()
        self._learn(tokens)
        for length in _NGRAMS:
            at = self._followed_at.get(tuple(tokens[-length:])) if len(tokens) >= length else None
            if at is not None:
                return tuple(tokens[at : at + count])
        return ()

    def _learn(self, tokens: Sequence[int]) -> None:
        for at in range(self._known, len(tokens)):
            for length in _NGRAMS:
                if at >= length:
                    self._followed_at[tuple(tokens[at - length : at])] = at
        self._known = len(tokens)
