"""What this service can do right now, for probes and load balancers."""

import asyncio
from collections.abc import AsyncIterator, Mapping


class HealthBoard:
    """Named states, true or false, that watchers see change.

    The name "" stands for the whole service.
    """

    def __init__(self) -> None:
        self._serving: dict[str, bool] = {}
        self._changed = asyncio.Event()

    def set(self, name: str, serving: bool) -> None:
        """State whether ``name`` serves; watchers are told when that is news."""
        if self._serving.get(name) is not serving:
            self._serving[name] = serving
            self._changed.set()
            self._changed = asyncio.Event()

    def get(self, name: str) -> bool | None:
        """Whether ``name`` serves; None when the name was never stated."""
        return self._serving.get(name)

    def set_servables(self, states: Mapping[str, bool]) -> None:
        """State every servable; one that is not named any more serves no more."""
        for name in [*self._serving, *states]:
            if name:
                self.set(name, states.get(name, False))

    def stop(self) -> None:
        """State that nothing serves any more."""
        for name in self._serving:
            self.set(name, False)

    async def watch(self, name: str) -> AsyncIterator[bool | None]:
        """The state of ``name`` now, and again each time it changes."""
        seen: object = self
        while True:
            changed = self._changed
            now = self.get(name)
            if now is not seen:
                seen = now
                yield now
            else:
                await changed.wait()
