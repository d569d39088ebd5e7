"""One streamed answer over a connection of HTTP/1.1 of its own."""

import asyncio
import ssl
import time
from collections.abc import Mapping

import httptools

from benchmarks.generation.load.answer import Answer
from benchmarks.generation.load.order import Target


class BrokenAnswer(Exception):
    """The connection broke, or what came is no HTTP."""


class _Protocol(asyncio.Protocol):
    """Gives what arrives to an answer; httptools calls the ``on_`` methods."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._parser = httptools.HttpResponseParser(self)
        self._now = 0.0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._now = time.monotonic()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as failure:
            self._end(BrokenAnswer(f"no HTTP: {failure}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(BrokenAnswer("the connection broke"))

    def on_headers_complete(self) -> None:
        self._answer.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._answer.feed(body, self._now)

    def on_message_complete(self) -> None:
        self._end(None)

    def _end(self, failure: BrokenAnswer | None) -> None:
        if self.ended.done():
            return
        if failure is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(failure)


class Poster:
    """Posts bodies to one path."""

    def __init__(self, target: Target, path: str, headers: Mapping[str, str]) -> None:
        self._target = target
        self._tls = ssl.create_default_context() if target.secure else None
        lines = [
            f"POST {path} HTTP/1.1", f"host: {target.host}:{target.port}",
            "content-type: application/json", "accept: text/event-stream", "connection: close",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]  # fmt: skip
        self._head = "\r\n".join(lines).encode()

    async def post(self, body: bytes, answer: Answer) -> None:
        """Send one request and feed ``answer``; raises BrokenAnswer, OSError, TimeoutError."""
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(
            lambda: _Protocol(answer), self._target.host, self._target.port, ssl=self._tls
        )
        try:
            transport.write(self._head + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            await protocol.ended
        finally:
            transport.abort()
