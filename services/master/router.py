"""Which worker gets a request."""

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from services.master.spec import Spec
from shared.errors import NotServed, Unavailable
from shared.membership import Offers
from shared.servable import ServableVersion


@dataclass(slots=True)
class Router:
    """What each worker offers, and the choice among those that offer the same."""

    dice: random.Random = field(default_factory=random.Random)
    _offers: dict[str, Offers] = field(default_factory=dict)
    _ever: dict[ServableVersion, frozenset[str]] = field(default_factory=dict)

    def update(self, worker: str, offers: Offers) -> None:
        """Replace what ``worker`` offers."""
        self._offers[worker] = offers
        for offer in offers.offers:
            self._ever[offer.what] = offer.methods

    def remove(self, worker: str) -> None:
        """Forget a worker that is gone."""
        self._offers.pop(worker, None)

    def serving(self) -> dict[str, bool]:
        """Every servable ever offered, and whether somebody serves it now."""
        alive = {what.servable for what in self._alive(())}
        return {what.servable: what.servable in alive for what in self._ever}

    def choose(
        self, spec: Spec, outstanding: Callable[[str], int], exclude: Collection[str] = ()
    ) -> tuple[str, int]:
        """The worker and version for a request: the less loaded of two random ones.

        Version 0 is the newest that somebody serves. Raises NotServed for what
        nobody ever offered, Unavailable for what nobody offers now.
        """
        alive = self._alive(exclude)
        version = spec.version or max(
            (w.version for w in alive if w.servable == spec.servable), default=0
        )
        what = ServableVersion(spec.servable, version)
        workers = alive.get(what)
        if not workers:
            self._refuse(spec)
        methods = self._ever[what]
        if spec.method not in methods:
            raise NotServed(f"{_request(spec)}, method is not available")
        assert workers is not None
        candidates = self.dice.sample(workers, min(2, len(workers)))
        return min(candidates, key=outstanding), version

    def _alive(self, exclude: Collection[str]) -> dict[ServableVersion, list[str]]:
        alive: dict[ServableVersion, list[str]] = {}
        for worker, offers in self._offers.items():
            if not offers.draining and worker not in exclude:
                for offer in offers.offers:
                    alive.setdefault(offer.what, []).append(worker)
        return alive

    def _refuse(self, spec: Spec) -> None:
        known = any(
            what.servable == spec.servable and spec.version in (0, what.version)
            for what in self._ever
        )
        if known:
            raise Unavailable(f"{_request(spec)}, no worker serves it now")
        raise NotServed(f"{_request(spec)}, servable is not available")


def _request(spec: Spec) -> str:
    version = f"version({spec.version}) " if spec.version else ""
    return f"Request servable({spec.servable}) method({spec.method}) {version}"
