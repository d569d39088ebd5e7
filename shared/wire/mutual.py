"""The wire between services whose both ends show certificates."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from shared.errors import Unavailable
from shared.wire.interface import MAX_MESSAGE_BYTES, Channel, ConnectionAge, Routes, Server, Wire
from shared.wire.tls import ClientTls, PeerTls, ServerTls, TlsFault


def between_services(wire: Wire, tls: PeerTls | None) -> Wire:
    """The wire itself, or with TLS on every connection."""
    return wire if tls is None else _MutualTlsWire(wire, tls)


class _MutualTlsWire:
    """See ``Wire``; what is asked for beside TLS is passed on."""

    def __init__(self, wire: Wire, tls: PeerTls) -> None:
        self._wire = wire
        self._tls = tls

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
        return self._wire.serve(
            routes,
            addresses,
            max_message_bytes=max_message_bytes,
            max_concurrent_calls=max_concurrent_calls,
            max_connection_age=max_connection_age,
            reuse_port=reuse_port,
            tls=tls or self._tls.server,
            reflect=reflect,
        )

    @asynccontextmanager
    async def connect(
        self, address: str, *, tls: ClientTls | None = None, unread_bytes: int | None = None
    ) -> AsyncIterator[Channel]:
        tls = tls or self._tls.client_of(address)
        async with AsyncExitStack() as stack:
            try:
                channel = await stack.enter_async_context(
                    self._wire.connect(address, tls=tls, unread_bytes=unread_bytes)
                )
            except TlsFault as failure:
                # They could be used at the start: somebody is about to renew them.
                raise Unavailable(str(failure)) from failure
            yield channel
