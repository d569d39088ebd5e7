"""(pure) Parts in the order of their turns: a line for each group that may share a batch."""

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterator
from heapq import heapify, heappop, heappush, heapreplace

from services.worker.batching.parts import Part

# Marks of heads that are none any more are swept away when there are so many.
_MOST_OLD_MARKS = 64


class Line:
    """The parts of one group; those whose callers left are still among them."""

    __slots__ = ("mark", "parts")

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.mark = 0
        """The number under which the heap knows it."""


class Lines:
    """All groups. However many there are, the one that goes first is at hand."""

    def __init__(self) -> None:
        self._lines: dict[Hashable, Line] = {}
        # A heap of turn, mark and group. A line's own mark tells it from older ones.
        self._heads: list[tuple[float, int, Hashable]] = []
        self._marks = 0

    def add(self, part: Part, *, front: bool = False) -> None:
        """Let a part wait in its turn, behind those of the same turn or in front of them."""
        group, turn = part.submission.group, part.submission.turn
        line = self._lines.get(group)
        if line is None:
            line = self._lines[group] = Line()
        parts = line.parts
        if not front and parts and parts[-1].submission.turn <= turn:
            parts.append(part)
            return
        place = (bisect_left if front else bisect_right)(parts, turn, key=_turn)
        parts.insert(place, part)
        if not place:
            heappush(self._heads, self._head(group, line))
            if len(self._heads) > 2 * len(self._lines) + _MOST_OLD_MARKS:
                self._sweep()

    def first(self) -> list[Part] | None:
        """The line whose head has the smallest turn and is wanted; None when nobody waits.

        Who takes parts takes them from its beginning.
        """
        while self._heads:
            turn, mark, group = self._heads[0]
            line = self._lines.get(group)
            if line is None or line.mark != mark:
                heappop(self._heads)
                continue
            parts = line.parts
            if parts and not parts[0].submission.waiting:
                _drop_unwanted(parts)
            if not parts:
                del self._lines[group]
                heappop(self._heads)
            elif parts[0].submission.turn == turn:
                return parts
            else:
                heapreplace(self._heads, self._head(group, line))
        return None

    def clear(self) -> Iterator[Part]:
        """Every part there was."""
        lines = list(self._lines.values())
        self._lines.clear()
        self._heads.clear()
        for line in lines:
            yield from line.parts

    def _head(self, group: Hashable, line: Line) -> tuple[float, int, Hashable]:
        self._marks += 1
        line.mark = self._marks
        return line.parts[0].submission.turn, self._marks, group

    def _sweep(self) -> None:
        self._heads = [
            (turn, mark, group)
            for turn, mark, group in self._heads
            if (line := self._lines.get(group)) is not None and line.mark == mark
        ]
        heapify(self._heads)


def _turn(part: Part) -> float:
    return part.submission.turn


def _drop_unwanted(parts: list[Part]) -> None:
    wanted = (index for index, part in enumerate(parts) if part.submission.waiting)
    del parts[: next(wanted, len(parts))]
