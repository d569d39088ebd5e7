"""(pure) Caches on their way from the agent that computed a prompt to the one that goes on."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol


class Memory(Protocol):
    """Where the bytes of a parcel lie."""

    @property
    def size(self) -> int:
        """How many bytes they are."""

    def release(self) -> None:
        """Nobody needs them any more."""

    def lose(self) -> None:
        """Nobody needs them, but an agent may still look: nothing else is written there."""


class Parcel(NamedTuple):
    """The cache of some neighbouring tokens of a sequence."""

    first: int
    tokens: int
    memory: Memory


class Receiver(Protocol):
    """Whoever gets a parcel."""

    def deliver(self, parcel: Parcel) -> None:
        """It is there; its memory is to be released."""


class Early:
    """What came of a cache in the step that completed it, before anybody asked."""

    def __init__(self) -> None:
        self._parcel: Parcel | None = None
        self._closed = False

    def deliver(self, parcel: Parcel) -> None:
        """See ``Receiver``."""
        if self._closed:
            parcel.memory.release()
        else:
            self._parcel = parcel

    def take(self, first: int) -> Parcel | None:
        """The parcel, if it is from this token on: whoever takes it releases its memory."""
        parcel = self._parcel
        if parcel is None or parcel.first != first:
            return None
        self._parcel = None
        return parcel

    def close(self) -> None:
        """Nobody needs it."""
        self._closed = True
        if self._parcel is not None:
            self._parcel.memory.release()
            self._parcel = None


class Source:
    """A sequence's cache at the agent that computed it, kept there until another one has it."""

    def __init__(
        self,
        tokens: int,
        ask: Callable[["Fetch", int, int], None],
        release: Callable[[], None],
        early: Early | None = None,
    ) -> None:
        self.tokens = tokens
        """How many tokens it is of, from the first on."""
        self.is_lost = False
        self.heard: Callable[[], None] = _nobody
        """Called when a parcel came, or all that did not come yet is lost."""
        self.ask = ask
        """Have so many tokens from a position on delivered to a fetch, after those asked before."""
        self.early = early or Early()
        self._release = release

    def release(self) -> None:
        """It is needed no more."""
        self.early.close()
        self._release()

    def has_beyond(self, tokens: int) -> bool:
        """Whether more can be had of it than so many tokens."""
        return not self.is_lost and self.tokens > tokens

    def lose(self) -> None:
        """Its agent is gone."""
        self.is_lost = True
        self.heard()


class Fetch:
    """What comes from a source into one slot; who loses the slot closes it."""

    def __init__(self, source: Source, first: int) -> None:
        self.source = source
        self.asked = first
        """Up to which token it was asked for."""
        self._parcels: deque[Parcel] = deque()
        self._closed = False
        early = source.early.take(first)
        if early is not None:
            self.asked += early.tokens
            self._parcels.append(early)
        source.early.close()

    def ask(self, computed: int, *, most: int, window: int) -> None:
        """Ask for parcels of at most so many tokens, as long as few are on their way."""
        while self.asked < self.source.tokens and self.asked - computed < window:
            count = min(most, self.source.tokens - self.asked)
            self.source.ask(self, self.asked, count)
            self.asked += count

    def deliver(self, parcel: Parcel) -> None:
        """What was asked for is there."""
        if self._closed:
            parcel.memory.release()
            return
        self._parcels.append(parcel)
        self.source.heard()

    @property
    def next_tokens(self) -> int:
        """How many tokens the next parcel is of; 0: none came."""
        return self._parcels[0].tokens if self._parcels else 0

    def take(self) -> Parcel:
        """The next parcel; whoever takes it releases its memory."""
        return self._parcels.popleft()

    def close(self) -> None:
        """Its slot is somebody else's: what is there and what may still come is of no use."""
        self._closed = True
        while self._parcels:
            self._parcels.popleft().memory.release()


def _nobody() -> None:
    """Until somebody goes on with the sequence."""
