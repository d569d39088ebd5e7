"""(pure) What the ranks of a gang agree on: which tokens followed the step before.

One rank chooses. The others take what they are told of its choice, and refuse what cannot be
it; the one that chose refuses what it did not choose. So ranks whose texts differ never go on.
"""

from collections.abc import Iterable, Sequence

from services.agent.generation.steps import Chosen, Row
from shared.errors import InvalidRequest
from shared.membership import CHOOSING_RANK, GangPart


class Agreement:
    """Of one rank, or of a model that has no others."""

    def __init__(self, part: GangPart | None, vocabulary: int) -> None:
        self.has_others = part is not None and part.rank_size > 1
        """Whether other ranks call the same graphs, which wait for one another in them."""
        self.chooses = part is None or not self.has_others or part.rank == CHOOSING_RANK
        self._vocabulary = vocabulary
        self._chosen: dict[int, Chosen] = {}
        """What this rank chose in the step before, by slot."""
        self._awaited: dict[int, Sequence[int]] = {}
        """The slots that another rank chose for, and what was speculated about each."""

    def forget(self) -> None:
        """Nothing is known of steps before."""
        self._chosen.clear()
        self._awaited.clear()

    def chose(self, chosen: Iterable[Chosen]) -> None:
        """This came of a step, and is to be told to the others with the next one."""
        if self.has_others:
            self._chosen = {each.slot: each for each in chosen if _says(each)}

    def wait_for(self, rows: Iterable[Row]) -> None:
        """Another rank chooses what follows these rows."""
        self._awaited |= {row.slot: row.speculated for row in rows if row.samples}

    def unsure(self, slot: int) -> int:
        """How many more tokens of a slot may turn out to be in the cache."""
        return len(self._awaited.get(slot, ()))

    def check(self, told: Sequence[Chosen], where: str) -> None:
        """Raises InvalidRequest for what the rank that chooses cannot have said."""
        if not self.has_others:
            if told:
                raise InvalidRequest(f"{where}: was told tokens, but chooses them itself")
        elif self.chooses:
            self._check_own(told, where)
        else:
            self._check_others(told, where)
        self.forget()

    def _check_own(self, told: Sequence[Chosen], where: str) -> None:
        said = {each.slot: _what(each) for each in told}
        chose = {slot: _what(each) for slot, each in self._chosen.items()}
        for slot in sorted(said.keys() | chose.keys()):
            if said.get(slot) != chose.get(slot):
                raise InvalidRequest(
                    f"{where}, slot {slot}: was told {_text(said.get(slot))}, chose"
                    f" {_text(chose.get(slot))}"
                )

    def _check_others(self, told: Sequence[Chosen], where: str) -> None:
        for each in told:
            if each.tokens:
                self._check_tokens(each, f"{where}, slot {each.slot}")
        missing = self._awaited.keys() - {each.slot for each in told}
        if missing:
            slots = ", ".join(map(str, sorted(missing)))
            raise InvalidRequest(f"{where}: was not told which token follows in slot {slots}")

    def _check_tokens(self, told: Chosen, where: str) -> None:
        if told.slot not in self._awaited:
            raise InvalidRequest(f"{where}: was told tokens, but none were to be chosen")
        speculated = list(self._awaited[told.slot])
        kept = told.tokens[:-1]
        if kept != speculated[: len(kept)]:
            raise InvalidRequest(
                f"{where}: was told tokens {told.tokens}, all but the last of which should be the"
                f" first of those speculated: {speculated}"
            )
        if max(told.tokens) >= self._vocabulary:
            raise InvalidRequest(
                f"{where}: expected ids below {self._vocabulary}, got {max(told.tokens)}"
            )


def _says(chosen: Chosen) -> bool:
    return bool(chosen.tokens or chosen.failure or chosen.complete)


def _what(chosen: Chosen) -> tuple[list[int], str, bool]:
    return list(chosen.tokens), chosen.failure, chosen.complete


def _text(what: tuple[list[int], str, bool] | None) -> str:
    if what is None:
        return "nothing"
    tokens, failure, complete = what
    return failure or f"tokens {tokens}" + (", and nothing more" if complete else "")
