"""(pure) Which worker gets a request."""

import random
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from services.master.labels import Label, pick, weights
from services.master.spec import Spec
from shared.errors import InvalidRequest, NotServed, Unavailable
from shared.membership import OfferedMethod, Offers
from shared.servable import request_text

Methods = Mapping[str, OfferedMethod]
# Workers of one servable version and the methods each offers.
_Serving = Mapping[str, Methods]
_NO_LABELS: Mapping[str, tuple[Label, ...]] = {}


class Choice(NamedTuple):
    """The worker that gets a request and the version that it is asked for."""

    worker: str
    version: int


class _Share(NamedTuple):
    """Who serves one version, and how much of a spec's requests it gets beside other shares."""

    weight: int
    choices: tuple[Choice, ...]


class Router:
    """What every worker offers, and a fair choice among those that fit."""

    def __init__(
        self, chance: random.Random, labels: Mapping[str, tuple[Label, ...]] = _NO_LABELS
    ) -> None:
        self._chance = chance
        self._labels = dict(labels)
        self._offers: dict[str, Offers] = {}
        self._serving: dict[str, dict[int, dict[str, Methods]]] = {}
        # What a spec resolved to since the last change.
        self._shares: dict[Spec, tuple[_Share, ...]] = {}
        # Everything ever offered: tells "gone for now" from "never heard of".
        self._known: dict[str, dict[int, Methods]] = {}

    def update(self, worker: str, offers: Offers) -> None:
        """Replace what ``worker`` offers; a draining worker gets nothing new."""
        self._offers[worker] = offers
        for offer in offers.offers:
            versions = self._known.setdefault(offer.what.servable, {})
            versions[offer.what.version] = offer.methods
        self._index()

    def remove(self, worker: str) -> None:
        """Forget a worker, but not that its servables exist."""
        if self._offers.pop(worker, None) is not None:
            self._index()

    def _index(self) -> None:
        serving: dict[str, dict[int, dict[str, Methods]]] = {}
        for worker, offers in self._offers.items():
            if offers.draining:
                continue
            for offer in offers.offers:
                versions = serving.setdefault(offer.what.servable, {})
                versions.setdefault(offer.what.version, {})[worker] = offer.methods
        self._serving = serving
        self._shares = {}

    def labelled(self) -> list[tuple[str, Label]]:
        """Every label with its servable."""
        return [(name, label) for name, labels in self._labels.items() for label in labels]

    def labels(self, servable: str) -> tuple[Label, ...]:
        """The labels of a servable."""
        return self._labels.get(servable, ())

    def set_labels(self, servable: str, labels: tuple[Label, ...]) -> None:
        """Replace the labels of a servable; requests that come after this go by them."""
        # A new table: metrics may be reading the old one in a thread of theirs.
        self._labels = {**self._labels, servable: labels}
        self._shares = {}

    def is_served(self, servable: str, version: int) -> bool:
        """Whether some worker serves a version now."""
        return version in self._serving.get(servable, {})

    def servables(self) -> Mapping[str, bool]:
        """Every servable ever offered, and whether somebody serves it now."""
        return {name: name in self._serving for name in self._known}

    def served(self, servable: str, version: int = 0) -> Mapping[int, Methods]:
        """The versions of ``servable`` that somebody serves now, and their methods.

        With ``version``, that one alone. Raises NotServed for what nobody ever offered, and
        Unavailable when nobody serves it now.
        """
        known = self._known.get(servable)
        named = f"servable '{servable}'" + (f" version {version}" if version else "")
        if known is None or (version and version not in known):
            raise NotServed(f"{named} is not available")
        found = {
            number: {name: each for methods in workers.values() for name, each in methods.items()}
            for number, workers in self._serving.get(servable, {}).items()
            if version in (0, number)
        }
        if not found:
            raise Unavailable(f"{named}: no worker serves it now")
        return found

    def choose(
        self, spec: Spec, outstanding: Callable[[str], int], exclude: Collection[Choice] = ()
    ) -> Choice:
        """The less busy of two workers picked at random among those that fit.

        ``exclude`` are earlier choices that refused: a worker that has let go of one
        version may still serve another.

        ``outstanding`` counts the calls in a worker's hands. Raises NotServed, or
        Unavailable when nobody outside ``exclude`` serves it now.
        """
        shares = self._shares.get(spec)
        if shares is None:
            shares = self._shares[spec] = self._resolve(spec)
        if exclude:
            shares = _without(shares, exclude)
            if not shares:
                raise Unavailable(f"{spec.text}, no other worker serves it now")
        if len(shares) == 1:
            fitting = shares[0].choices
        else:
            fitting = shares[pick([each.weight for each in shares], self._chance.random())].choices
        if len(fitting) == 1:
            return fitting[0]
        one, other = self._chance.sample(fitting, 2)
        return one if outstanding(one.worker) <= outstanding(other.worker) else other

    def _resolve(self, spec: Spec) -> tuple[_Share, ...]:
        """Who serves ``spec``: at least one share, none of them empty."""
        if spec.label:
            return (_Share(1, self._labelled(spec)),)
        if not spec.version:
            by_weight = [
                _Share(weight, choices)
                for version, weight in weights(self.labels(spec.servable)).items()
                if (choices := self._fitting(spec, version))
            ]
            # A version that is away leaves its part to the others.
            if by_weight:
                return tuple(by_weight)
        return (_Share(1, self._unlabelled(spec)),)

    def _fitting(self, spec: Spec, version: int) -> tuple[Choice, ...]:
        """Who offers the method at a version now."""
        workers = self._serving.get(spec.servable, {}).get(version, {})
        return tuple(
            Choice(worker, version) for worker, methods in workers.items() if spec.method in methods
        )

    def _labelled(self, spec: Spec) -> tuple[Choice, ...]:
        if spec.version:
            raise InvalidRequest(f"{spec.text}, expected a version or a label, got both")
        versions = {label.name: label.version for label in self.labels(spec.servable)}
        version = versions.get(spec.label)
        if version is None:
            # Says so when the servable itself is not there, or not yet.
            self._version_of(spec._replace(label=""))
            known = ", ".join(sorted(versions)) or "none"
            raise NotServed(f"{spec.text}, label is not available, labels of it: {known}")
        if not self.is_served(spec.servable, version):
            raise Unavailable(f"{spec.text}, it is version {version}, no worker serves it now")
        return self._unlabelled(spec._replace(version=version, label=""))

    def _unlabelled(self, spec: Spec) -> tuple[Choice, ...]:
        version, serving = self._version_of(spec)
        fitting = self._fitting(spec, version)
        if serving and not fitting:
            raise _no_method(spec)
        if not fitting:
            named = request_text(spec.servable, spec.method, version)
            raise Unavailable(f"{named}, no worker serves it now")
        return fitting

    def _version_of(self, spec: Spec) -> tuple[int, _Serving]:
        if not self._known:
            # A master that has just started: workers are on their way.
            raise Unavailable(f"{spec.text}, servable is not available, no worker has joined yet")
        known = self._known.get(spec.servable)
        if known is None or (spec.version and spec.version not in known):
            raise NotServed(f"{spec.text}, servable is not available")
        living = self._serving.get(spec.servable, {})
        version = spec.version or max(living, default=max(known))
        serving = living.get(version, {})
        if not serving and spec.method not in known[version]:
            raise _no_method(spec)
        return version, serving


def _without(shares: tuple[_Share, ...], exclude: Collection[Choice]) -> tuple[_Share, ...]:
    """What is left of shares; a version that everybody refuses leaves its part to the others."""
    left = (
        _Share(weight, tuple([choice for choice in choices if choice not in exclude]))
        for weight, choices in shares
    )
    return tuple(share for share in left if share.choices)


def _no_method(spec: Spec) -> NotServed:
    return NotServed(f"{request_text(spec.servable, spec.method)}, method is not available")
