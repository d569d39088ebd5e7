"""A flag that a signal's handler may set, whatever it has interrupted."""

from contextlib import suppress
from queue import Empty, SimpleQueue


class Flag:
    """Set once, by any thread or signal handler; one thread may wait for it.

    A threading.Event is not for handlers: one that interrupts its own thread inside the event waits
    for a lock which that thread holds, for ever.
    """

    def __init__(self) -> None:
        self._is_set = False
        # Its put may interrupt its own thread anywhere, even inside put and get.
        self._news: SimpleQueue[None] = SimpleQueue()

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._is_set

    def set(self) -> None:
        """Set it, for good."""
        self._is_set = True
        self._news.put(None)

    def wait(self, seconds: float) -> bool:
        """Wait until it is set, at most so long; whether it is."""
        if not self._is_set:
            with suppress(Empty):
                self._news.get(timeout=seconds)
        return self._is_set
