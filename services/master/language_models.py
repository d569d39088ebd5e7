"""(pure) Which language models workers offer, by the names that clients call them."""

import random
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

from services.master.labels import Label, pick, weights
from shared.errors import InvalidRequest, NotServed, Unavailable
from shared.membership import LanguageOffer, Offers


class LanguageModel(NamedTuple):
    """A version of a language model, or of an adapter of one, and who serves it."""

    name: str
    servable: str
    version: int
    offer: LanguageOffer
    workers: tuple[str, ...]

    @property
    def is_adapter(self) -> bool:
        """Whether it was asked for by the name of an adapter."""
        return self.name != self.servable


# What clients of TGI, which serves one model, say in the place of a name.
_PLACEHOLDERS = ("tgi", "dummy")

_Versions = dict[int, dict[str, LanguageOffer]]


class LanguageModels:
    """What every worker offers."""

    def __init__(
        self,
        labels: Callable[[str], tuple[Label, ...]],
        chance: random.Random | None = None,
        *,
        default: str = "",
    ) -> None:
        self._default = default
        self._labels = labels
        self._chance = chance or random.Random()
        self._offers: dict[str, Offers] = {}
        # Of each name: which servable it is an adapter of, or itself, and who serves it.
        self._serving: dict[str, tuple[str, _Versions]] = {}
        self._known: set[str] = set()

    def update(self, worker: str, offers: Offers) -> None:
        """Replace what ``worker`` offers; a draining worker gets nothing new."""
        self._offers[worker] = offers
        self._index()

    def remove(self, worker: str) -> None:
        """Forget a worker, but not that its models exist."""
        if self._offers.pop(worker, None) is not None:
            self._index()

    def _index(self) -> None:
        serving: dict[str, tuple[str, _Versions]] = {}
        for worker, name, servable, version, language in sorted(self._entries(), key=_bases_first):
            base, versions = serving.setdefault(name, (servable, {}))
            # A name that two have is that of the first.
            if base == servable:
                versions.setdefault(version, {})[worker] = language
        self._serving = serving
        self._known |= serving.keys()

    def _entries(self) -> Iterator[tuple[str, str, str, int, LanguageOffer]]:
        for worker, offers in self._offers.items():
            for offer in () if offers.draining else offers.offers:
                if offer.language is not None:
                    for name in (offer.what.servable, *offer.language.adapters):
                        yield worker, name, offer.what.servable, offer.what.version, offer.language

    def names(self) -> list[str]:
        """Everything that can be called now: models, each followed by its adapters."""
        return sorted(self._serving, key=lambda name: (self._serving[name][0], name))

    def newest(self) -> Iterator[LanguageModel]:
        """The newest version of each."""
        for name in self.names():
            servable, versions = self._serving[name]
            yield self._model(name, servable, max(versions), versions)

    def find(self, name: str, version: int = 0) -> LanguageModel:
        """A model by its name; without one the default, or the only one there is.

        Version 0 goes by the weights of labels, or is the newest. Raises InvalidRequest, NotServed,
        or Unavailable when nobody serves it now.
        """
        if not name or (name in _PLACEHOLDERS and name not in self._serving):
            name = self._default or self._only()
        found = self._serving.get(name)
        if found is None:
            if name in self._known:
                raise Unavailable(f"model '{name}': no worker serves it now")
            raise NotServed(f"model '{name}' does not exist{self._hint()}")
        servable, versions = found
        chosen = version or self._version(servable, versions)
        if chosen not in versions:
            raise NotServed(f"model '{name}' version {chosen} is not available")
        return self._model(name, servable, chosen, versions)

    def _version(self, servable: str, versions: Collection[int]) -> int:
        shares = weights(self._labels(servable))
        served = {version: weight for version, weight in shares.items() if version in versions}
        if not served:
            return max(versions)
        return list(served)[pick(list(served.values()), self._chance.random())]

    def _only(self) -> str:
        models = sorted({servable for servable, _ in self._serving.values()})
        if not models:
            raise Unavailable("no worker serves a language model now")
        if len(models) > 1:
            raise InvalidRequest(f"model: expected one of {', '.join(models)}, got none")
        return models[0]

    def _hint(self) -> str:
        names = ", ".join(self.names()[:20])
        return f", models that do: {names}" if names else ""

    @staticmethod
    def _model(
        name: str, servable: str, version: int, versions: Mapping[int, Mapping[str, LanguageOffer]]
    ) -> LanguageModel:
        workers = versions[version]
        return LanguageModel(name, servable, version, next(iter(workers.values())), tuple(workers))


def _bases_first(entry: tuple[str, str, str, int, LanguageOffer]) -> tuple[bool, str]:
    _, name, servable, _, _ = entry
    return name != servable, servable
