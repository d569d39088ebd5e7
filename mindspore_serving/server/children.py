"""The child processes of a script, together: started, waited for, kept alive, ended in order."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mindspore_serving import log
from mindspore_serving.server.child import Child, ServableKey

POLL_SECONDS = 0.1
_NO_VARIABLES: Mapping[str, str] = {}
# Who takes requests ends first, so that nothing accepted is lost.
_ORDER = ("master", "worker", "agent")


@dataclass(slots=True)
class Children:
    """What never outlives its script."""

    _lock: threading.RLock = field(default_factory=threading.RLock)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _children: list[Child] = field(default_factory=list)

    def start(
        self,
        name: str,
        service: str,
        failure: str,
        *arguments: str,
        environment: Mapping[str, str] = _NO_VARIABLES,
        key: ServableKey | None = None,
    ) -> Child:
        """A new child; ``failure`` is what it means when it ends while it starts."""
        with self._lock:
            child = Child(name, service, failure, arguments, environment, key, now=time.monotonic())
            self._children.append(child)
            return child

    def wait(
        self, needed: Sequence[Child], is_ready: Callable[[], bool], seconds: float | None
    ) -> None:
        """Poll until it is ready; those that are needed for it are kept alive from then on.

        Raises RuntimeError when one of them ends before, or when ``seconds`` are over.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            # First: somebody else may answer where a child of ours could not listen.
            for child in needed:
                if child.ended:
                    raise RuntimeError(child.why_not_started())
            if deadline is not None and time.monotonic() > deadline:
                raise RuntimeError(f"{needed[0].failure}: not ready in {seconds:.0f} s")
            if is_ready():
                break
            time.sleep(POLL_SECONDS)
        for child in needed:
            child.is_kept = True

    def watch(self) -> None:
        """Keep this process alive, and children that crash, until ``stop``.

        It also ends when every child has ended by being told to.
        """
        while not self._stopped.wait(POLL_SECONDS):
            with self._lock:
                if all(child.ended and not child.crashed for child in self._children):
                    break
                for child in self._children:
                    if child.crashed and child.is_kept and not self._stopped.is_set():
                        self._start_again(child)

    def _start_again(self, child: Child) -> None:
        cause = child.cause()
        if child.start_again(time.monotonic()):
            log.error("%s ended (%s) and was started again", child.name, cause)

    def stop(self) -> None:
        """End every child, those that take requests first; each finishes what it has."""
        self._stopped.set()
        with self._lock:
            for service in _ORDER:
                self.end([child for child in self._children if child.service == service])

    def end(self, ended: Sequence[Child]) -> None:
        """End some of them, all at the same time."""
        with self._lock:
            for child in ended:
                child.close()
            for child in ended:
                child.wait()
                if child in self._children:  # else a signal's handler was faster
                    self._children.remove(child)
