"""What services know of the wire: serve handlers, call a method, open a stream.

Messages are bytes here: who only forwards never decodes, and who decodes picks
the message type. A handler fails by raising a ServingError; a caller gets the
same error back. Implementations: ``shared.wire.grpcio``, ``shared.wire.native``.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from shared.deadline import Deadline
from shared.wire.tls import ClientTls, ServerTls

MAX_MESSAGE_BYTES = 512 << 20
# How long calls in progress may go on after the server's context is left.
CLOSE_GRACE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class CallContext:
    """What a handler knows of its caller."""

    peer_host: str
    """The caller's IP address, or "" over a Unix socket."""
    deadline: Deadline | None
    metadata: Mapping[str, str]
    binary_metadata: Mapping[str, bytes] = field(default_factory=dict)
    """Of the keys that end in ``-bin``."""


Metadata = Mapping[str, str | bytes]
"""What a caller says beside its message: text, or bytes under keys that end in ``-bin``."""
_NOTHING: Metadata = {}


class Stream(Protocol):
    """Messages in both directions, ordered. One sender and one receiver at a time."""

    async def send(self, *messages: bytes, soon: bool = False) -> None:
        """Write messages, together; waits while the peer takes no more. Raises PeerLost.

        ``soon``: in one write with what other streams of the connection send in this turn of
        the event loop, where the wire can do that.
        """

    @property
    def is_free(self) -> bool:
        """Whether ``post`` may be called now. Never where every write has to be awaited."""

    def post(self, *messages: bytes) -> None:
        """Like ``send``, at once; only while it is free."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Messages until the peer closes; a broken stream raises a ServingError."""

    async def hear(self, take: Callable[[bytes], None]) -> None:
        """Call ``take`` with each message, as soon as it comes, until the peer closes.

        Raises what breaks the stream, and what ``take`` raises.
        """


UnaryHandler = Callable[[CallContext, bytes], Awaitable[bytes]]
StreamHandler = Callable[[CallContext, Stream], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Routes:
    """Handlers by method path, ``/package.Service/Method``."""

    unary: Mapping[str, UnaryHandler] = field(default_factory=dict)
    streams: Mapping[str, StreamHandler] = field(default_factory=dict)

    def __or__(self, other: "Routes") -> "Routes":
        return Routes({**self.unary, **other.unary}, {**self.streams, **other.streams})


@dataclass(frozen=True, slots=True)
class ConnectionAge:
    """How old a client's connection may get, give or take a tenth."""

    seconds: float
    """Then the client is told to make its next calls on a new one."""
    grace_seconds: float
    """How long the calls that are on it by then may still take."""


class Server(Protocol):
    """A listening server."""

    @property
    def addresses(self) -> Sequence[str]:
        """Where it listens, with real port numbers, in the order asked for."""

    async def close(self, grace_seconds: float) -> None:
        """Turn new calls away, let those in progress finish, end the rest after the grace."""


class Channel(Protocol):
    """A connection to one address, made when first used and again when lost."""

    async def call(
        self,
        path: str,
        message: bytes,
        *,
        deadline: Deadline | None = None,
        metadata: Metadata = _NOTHING,
    ) -> bytes:
        """One request, one answer. Raises the ServingError that the peer named."""

    def stream(
        self, path: str, *, deadline: Deadline | None = None, metadata: Metadata = _NOTHING
    ) -> AbstractAsyncContextManager[Stream]:
        """Open a stream; leaving the context ends it on both sides.

        The peer hears of the ``deadline``; who reads must keep it for themselves.
        """


class Wire(Protocol):
    """One way to carry messages."""

    def serve(
        self,
        routes: Routes,
        addresses: Sequence[str],
        *,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        max_concurrent_calls: int | None = None,
        max_connection_age: ConnectionAge | None = None,
        reuse_port: bool = False,
        tls: ServerTls | None = None,
        reflect: Sequence[str] = (),
    ) -> AbstractAsyncContextManager[Server]:
        """Listen on ``HOST:PORT``, ``unix:PATH`` and ``unix-abstract:NAME`` while inside.

        With ``reuse_port`` other processes may listen on the same TCP ports, and the kernel
        spreads connections over them. ``reflect`` names protobuf services that server
        reflection describes.
        Raises OSError naming the address that cannot be had, or the TLS file.
        """

    def connect(
        self, address: str, *, tls: ClientTls | None = None, unread_bytes: int | None = None
    ) -> AbstractAsyncContextManager[Channel]:
        """A channel to ``address`` while inside; raises OSError naming a TLS file of no use.

        With ``unread_bytes`` the peer may send so many on each stream before they are read.
        """
