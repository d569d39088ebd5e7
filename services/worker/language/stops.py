"""(pure) Ends a text at the first of several stop texts, which may come in pieces."""

from collections.abc import Sequence


class Stops:
    """Holds back what may be the beginning of a stop text."""

    def __init__(self, stops: Sequence[str], *, include: bool = False) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._longest = max(map(len, self._stops), default=0)
        self._include = include
        self._held = ""
        self.stopped_by = ""
        """The stop text that was found."""

    def feed(self, text: str) -> str:
        """What of the text can be told now; once a stop text was found, nothing more."""
        if not self._stops:
            return text
        if self.stopped_by:
            return ""
        text = self._held + text
        if found := self._first(text):
            at, self.stopped_by = found
            self._held = ""
            return text[: at + len(self.stopped_by) if self._include else at]
        keep = self._beginning(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def pass_by(self, text: str) -> str:
        """Tell a text in which nothing is looked for."""
        held, self._held = self._held, ""
        return held + text

    def flush(self) -> str:
        """What was held back, now that nothing more comes."""
        return self.pass_by("")

    def _first(self, text: str) -> tuple[int, str] | None:
        """The stop text that begins first; of those that begin together the longest."""
        places = ((text.find(stop), -len(stop), stop) for stop in self._stops)
        found = min((each for each in places if each[0] >= 0), default=None)
        return None if found is None else (found[0], found[2])

    def _beginning(self, text: str) -> int:
        """How many of the last characters may begin a stop text."""
        for count in range(min(len(text), self._longest - 1), 0, -1):
            if any(stop.startswith(text[-count:]) for stop in self._stops):
                return count
        return 0
