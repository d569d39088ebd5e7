"""The child processes of a script, together: started, waited for, kept alive, ended in order."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mindspore_serving import log
from mindspore_serving.server.attendance import Attendance, can_be_called, hang_seconds
from mindspore_serving.server.child import Child, ServableKey, why_not_born
from mindspore_serving.server.flag import Flag

POLL_SECONDS = 0.1
_NO_VARIABLES: Mapping[str, str] = {}
# Who takes requests ends first, so that nothing accepted is lost.
_ORDER = ("master", "worker", "agent")


@dataclass(slots=True)
class Children:
    """What never outlives its script."""

    _hang_seconds: float = field(default_factory=hang_seconds)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _stopped: Flag = field(default_factory=Flag)
    _children: list[Child] = field(default_factory=list)

    def start(
        self,
        name: str,
        service: str,
        failure: str,
        *arguments: str,
        environment: Mapping[str, str] = _NO_VARIABLES,
        key: ServableKey | None = None,
        address: str,
        part: str = "",
    ) -> Child:
        """A new child; ``failure`` is what it means when it ends while it starts.

        It is asked for its health at ``address``; ``part`` is the servable version that it serves
        with others. Raises RuntimeError when there can be no further process.
        """
        with self._lock:
            try:
                child = Child(
                    *(name, service, failure, arguments, environment, key),
                    now=time.monotonic(), address=address, part=part,
                )  # fmt: skip
            except OSError as oserror:
                raise RuntimeError(f"{failure}: {why_not_born(oserror)}") from oserror
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

    def watch(self) -> bool:
        """Keep this process alive, and children that crash or hang, until ``stop``.

        It also ends, with True, when what is left of them can answer nobody: then they are to be
        stopped.
        """
        attendance = Attendance(self._hang_seconds)
        while not self._stopped.wait(POLL_SECONDS):
            with self._lock:
                if self._stopped.is_set():
                    break
                attendance.look(self._children, time.monotonic())
                if not can_be_called(self._children):
                    return True
                asked = list(self._children)
            attendance.ask(asked, time.monotonic())
        return False

    def let_go(self) -> None:
        """Close this process's ends of what keeps its children alive; takes no lock."""
        for child in self._children:
            child.close()

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
            began = time.monotonic()
            for child in ended:
                if not child.wait(began + child.stop_seconds):
                    log.error("%s had not ended in %g s: killed", child.name, child.stop_seconds)
                if child in self._children:  # else a signal's handler was faster
                    self._children.remove(child)
