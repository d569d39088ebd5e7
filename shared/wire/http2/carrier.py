"""What both ends of a connection share: bytes between the core and an asyncio transport."""

import asyncio
from collections.abc import Sequence
from typing import Generic, TypeVar, cast

from shared.wire.http2.core import Connection
from shared.wire.http2.grpc_messages import message_prefix
from shared.wire.tls import HTTP2

Parsed = TypeVar("Parsed")
_WRITE_HIGH_BYTES = 1 << 20


class Carrier(asyncio.Protocol, Generic[Parsed]):
    """A core and its transport; the end that inherits them makes the core."""

    _core: Connection[Parsed]

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._flushing = False
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES)

    @property
    def speaks_http2(self) -> bool:
        """Whether the peer said so in the TLS handshake (RFC 9113, 3.2), if there was one."""
        if self._transport is None:
            return False
        tls = self._transport.get_extra_info("ssl_object")
        return tls is None or tls.selected_alpn_protocol() == HTTP2

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def flush(self) -> None:
        """Write what the core has collected."""
        self._flushing = False
        output = self._core.take_output()
        if self._transport is None or self._transport.is_closing():
            return
        if output:
            self._transport.writelines(output)
        if self._core.closing and not self._core.open_streams:
            # What takes no more calls ends with its last one.
            self._transport.close()

    def flush_soon(self) -> None:
        """Write at the end of this turn of the loop, together with what others add."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self.flush)

    def consumed_on(self, stream: int, count: int) -> None:
        """See ``StreamCarrier``."""
        if self._core.consumed(stream, count):
            self.flush_soon()

    def send_on(self, stream: int, messages: Sequence[bytes], *, first: bool, soon: bool) -> bool:
        """See ``StreamCarrier``. Most who send have collected already: nothing is awaited."""
        sent = True
        for message in messages:
            sent = self._core.send_message(stream, message_prefix(message), message)
        if soon:
            self.flush_soon()
        else:
            self.flush()
        return sent
