"""HTTP/1.1 as far as a load needs it: POST one body, again and again, and read the answers."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import cast


class BadAnswer(Exception):
    """What came back is no HTTP answer."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole answer."""

    status: int
    body: bytes


class AnswerReader:
    """(pure) Puts one answer together out of what arrives."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> HttpAnswer | None:
        """The answer once it is complete; raises BadAnswer."""
        self._data += data
        head, end, rest = self._data.partition(b"\r\n\r\n")
        if not end:
            return None
        first, *lines = head.split(b"\r\n")
        pairs = (line.partition(b":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        try:
            status = int(first.split()[1])
            if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
                body = _join_chunks(rest)
            else:
                length = int(headers[b"content-length"])
                body = rest[:length] if len(rest) >= length else None
        except (ValueError, IndexError, KeyError) as failure:
            raise BadAnswer(f"{head[:200]!r}: {failure!r}") from None
        if body is None:
            return None
        self._data = b""
        return HttpAnswer(status, body)


def _join_chunks(data: bytes) -> bytes | None:
    """The body, or None while chunks are missing."""
    body = b""
    while True:
        size, end, data = data.partition(b"\r\n")
        if not end:
            return None
        length = int(size.partition(b";")[0], 16)
        if len(data) < length + 2:
            return None
        if not length:
            return body
        body, data = body + data[:length], data[length + 2 :]


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self._reader = AnswerReader()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[HttpAnswer] | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            answer = self._reader.feed(data)
        except BadAnswer:
            self.close()
            return
        if answer is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the connection broke"))

    def close(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.close()

    async def post(self, request: bytes) -> HttpAnswer:
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._answer
        except asyncio.CancelledError:
            self.close()  # the answer may still come, and would be taken for the next one
            raise


class HttpSender:
    """As many connections as are needed at once, up to a number."""

    def __init__(
        self, port: int, path: str, content_type: str, body: bytes, answer_bytes: int, most: int
    ) -> None:
        head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: {content_type}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body
        self._port = port
        self._answer_bytes = answer_bytes
        self._room = asyncio.Semaphore(most)
        self._idle: deque[_Connection] = deque()

    async def send(self) -> bool:
        """One request; whether its answer has status 200 and the length of a right one."""
        async with self._room:
            connection = await self._take()
            answer = await connection.post(self._request)
            if not connection.closed:
                self._idle.append(connection)
        return answer.status == 200 and len(answer.body) == self._answer_bytes

    async def _take(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(_Connection, "127.0.0.1", self._port)
        return made

    def close(self) -> None:
        for connection in self._idle:
            connection.close()
