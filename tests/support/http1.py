"""A small HTTP/1.1 client, which can also misbehave."""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import orjson


class Answer(NamedTuple):
    """A status, headers by lower-case name, and a body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


class Http:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, address: str, tls: ssl.SSLContext | None = None) -> "Http":
        host, _, port = address.rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port), ssl=tls))

    def write(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        """Send a request; keywords are headers, ``_`` for ``-``."""
        lines = [f"{method} {path} HTTP/1.1", "Host: test"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    async def read(self, method: str = "GET") -> Answer:
        """The next answer."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {}
        for line in filter(None, head[1:]):
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        size = 0 if method == "HEAD" else int(headers["content-length"])
        return Answer(int(head[0].split()[1]), headers, await self.reader.readexactly(size))

    async def ask(self, method: str, path: str, body: Any = b"", **headers: str) -> Answer:
        """A request and its answer; ``body`` is bytes, or written as JSON."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        self.write(method, path, content, **headers)
        return await self.read(method)

    async def is_closed(self) -> bool:
        """Wait for the server's end of the connection."""
        with suppress(ConnectionError):
            return await self.reader.read() == b""
        return True

    def hang_up(self) -> None:
        self.writer.transport.abort()


async def ask(address: str, method: str, path: str, body: Any = b"", **headers: str) -> Answer:
    """A request on a connection of its own."""
    http = await Http.connect(address)
    try:
        return await http.ask(method, path, body, **headers)
    finally:
        http.hang_up()
