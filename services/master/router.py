"""(pure) Which worker gets a request."""

import random
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from services.master.spec import Spec
from shared.errors import NotServed, Unavailable
from shared.membership import Offers
from shared.servable import request_text

# Workers of one servable version and the methods each offers.
_Serving = Mapping[str, frozenset[str]]


class Choice(NamedTuple):
    """The worker that gets a request and the version that it is asked for."""

    worker: str
    version: int


class Router:
    """What every worker offers, and a fair choice among those that fit."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._offers: dict[str, Offers] = {}
        self._serving: dict[str, dict[int, dict[str, frozenset[str]]]] = {}
        # What a spec resolved to since the last change.
        self._fitting: dict[Spec, tuple[Choice, ...]] = {}
        # Everything ever offered: tells "gone for now" from "never heard of".
        self._known: dict[str, dict[int, frozenset[str]]] = {}

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
        self._serving = {}
        self._fitting = {}
        for worker, offers in self._offers.items():
            if offers.draining:
                continue
            for offer in offers.offers:
                versions = self._serving.setdefault(offer.what.servable, {})
                versions.setdefault(offer.what.version, {})[worker] = offer.methods

    def servables(self) -> Mapping[str, bool]:
        """Every servable ever offered, and whether somebody serves it now."""
        return {name: name in self._serving for name in self._known}

    def served(self, servable: str, version: int = 0) -> Mapping[int, frozenset[str]]:
        """The versions of ``servable`` that somebody serves now, and their methods.

        With ``version``, that one alone. Raises NotServed for what nobody ever offered, and
        Unavailable when nobody serves it now.
        """
        known = self._known.get(servable)
        named = f"servable '{servable}'" + (f" version {version}" if version else "")
        if known is None or (version and version not in known):
            raise NotServed(f"{named} is not available")
        found = {
            number: frozenset().union(*workers.values())
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
        fitting = self._fitting.get(spec)
        if fitting is None:
            fitting = self._fitting[spec] = self._resolve(spec)
        if exclude:
            fitting = tuple(choice for choice in fitting if choice not in exclude)
            if not fitting:
                raise Unavailable(f"{request_text(*spec)}, no other worker serves it now")
        if len(fitting) == 1:
            return fitting[0]
        one, other = self._chance.sample(fitting, 2)
        return one if outstanding(one.worker) <= outstanding(other.worker) else other

    def _resolve(self, spec: Spec) -> tuple[Choice, ...]:
        """Who serves ``spec``: at least one."""
        version, serving = self._version_of(spec)
        fitting = tuple(
            Choice(worker, version) for worker, methods in serving.items() if spec.method in methods
        )
        if serving and not fitting:
            raise _no_method(spec)
        if not fitting:
            named = request_text(spec.servable, spec.method, version)
            raise Unavailable(f"{named}, no worker serves it now")
        return fitting

    def _version_of(self, spec: Spec) -> tuple[int, _Serving]:
        if not self._known:
            # A master that has just started: workers are on their way.
            raise Unavailable(
                f"{request_text(*spec)}, servable is not available, no worker has joined yet"
            )
        known = self._known.get(spec.servable)
        if known is None or (spec.version and spec.version not in known):
            raise NotServed(f"{request_text(*spec)}, servable is not available")
        living = self._serving.get(spec.servable, {})
        version = spec.version or max(living, default=max(known))
        serving = living.get(version, {})
        if not serving and spec.method not in known[version]:
            raise _no_method(spec)
        return version, serving


def _no_method(spec: Spec) -> NotServed:
    return NotServed(f"{request_text(spec.servable, spec.method)}, method is not available")
