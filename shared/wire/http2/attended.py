"""A client's connection as the server sees it: greeted, listened to, tended, drained, ended."""

import asyncio
import random
from abc import ABC, abstractmethod

import structlog

from shared.wire.http2.age import Age, Stage
from shared.wire.http2.calls import Calls
from shared.wire.http2.carrier import Carrier
from shared.wire.http2.frames import Code
from shared.wire.http2.grpc_protocol import Request
from shared.wire.http2.limits import Limits, ProtocolFault
from shared.wire.http2.patience import Patience

log = structlog.get_logger()


class Attended(Carrier[Request], ABC):
    """What does not depend on the calls that are on the connection."""

    def __init__(self, calls: Calls, limits: Limits) -> None:
        super().__init__()
        self._calls = calls
        self._limits = limits
        self._peer_host = ""
        self._heard_at = self._loop.time()
        self._patience = Patience(limits, self._heard_at)
        self._age: Age | None = None
        if calls.max_age is not None:
            self._age = Age(calls.max_age, born_at=self._heard_at, chance=random.random())

    @abstractmethod
    def end_half_sent(self, before: float) -> None:
        """End calls of whose message nothing has come since ``before``."""

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._peer_host = str(peer[0]) if isinstance(peer, tuple) else ""
        self._calls.add(self)
        if not self.speaks_http2:
            log.info("connection refused", peer=self._peer_host, reason="no HTTP/2 over TLS")
            transport.close()
            return
        self.flush()

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        try:
            self._core.receive(data)
        except ProtocolFault as fault:
            log.info("connection refused", peer=self._peer_host, reason=fault.reason)
            self._core.go_away(fault.code, fault.reason)
            self.close()
            return
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._calls.remove(self)
        self.writable.set()

    def pause_writing(self) -> None:
        """A client that does not read its answers may ask for no more (CVE-2019-9517)."""
        super().pause_writing()
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._heard_at = self._loop.time()
        if self._transport is not None:
            self._transport.resume_reading()

    # What the server asks.

    def drain(self) -> None:
        """Tell the client to take its next calls elsewhere; those that cross this are served."""
        self._core.say_farewell()
        self.flush()

    def tend(self) -> None:
        """To be called often: ends clients that stall, are silent, or have stayed, for too long."""
        now = self._loop.time()
        stage = Stage.YOUNG if self._age is None else self._age.stage(now)
        if stage is Stage.OLD:
            self.drain()
        elif stage is Stage.OVER:
            self.close()
            return
        unwritten, heard_at = 0, self._heard_at
        if self._transport is not None and not self.writable.is_set():
            # Nothing is read meanwhile: what it says, if anything, is not heard.
            unwritten, heard_at = self._transport.get_write_buffer_size(), now
        step = self._patience.visit(
            now, heard_at=heard_at, stalled_bytes=self._core.stalled_bytes + unwritten
        )
        self.end_half_sent(now - self._limits.stalled_seconds)
        self._core.nuisance.forgive(step.forgiven)
        if step.end is not None:
            self._end_connection(step.end)
        elif step.ping:
            self._core.ping()
            self.flush()

    def _end_connection(self, reason: str) -> None:
        log.info("connection ended", peer=self._peer_host, reason=reason)
        self._core.go_away(Code.ENHANCE_YOUR_CALM, reason)
        self.flush()
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """End the connection and every call on it."""
        self._core.go_away()
        self.flush()
        if self._transport is not None:
            self._transport.close()
