"""A device process as its supervisor sees it."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from services.agent.device.channel import LENGTH, pack
from shared.arena import Arena


class Child:
    """A living device process, its socket and its memory."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        arena: Arena,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self.arena = arena

    async def ask(
        self, message: dict[str, Any], heard: Callable[[str], None] = lambda progress: None
    ) -> dict[str, Any]:
        """Send one message and wait for its answer; EOFError or OSError when it ends.

        ``heard`` hears what it says of its progress before.
        """
        self._writer.write(pack(message))
        await self._writer.drain()
        while True:
            head = await self._reader.readexactly(LENGTH.size)
            body = await self._reader.readexactly(LENGTH.unpack(head)[0])
            answer: dict[str, Any] = json.loads(body)
            if "progress" not in answer:
                return answer
            heard(answer["progress"])

    def kill(self) -> None:
        """End it at once."""
        if self._process.returncode is None:
            self._process.kill()

    async def cause(self) -> str:
        """How it ended, when it has."""
        code = await self._process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


@asynccontextmanager
async def spawn(onednn_max_cpu_isa: str) -> AsyncIterator[Child]:
    """A device process, ended on leaving."""
    ours, theirs = socket.socketpair()
    arena = Arena.create()
    environment = {"GLOG_v": "3"} | os.environ | {"ONEDNN_MAX_CPU_ISA": onednn_max_cpu_isa}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.agent.device",
        str(theirs.fileno()),
        str(arena.fd),
        pass_fds=(theirs.fileno(), arena.fd),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
    )
    theirs.close()
    reader, writer = await asyncio.open_connection(sock=ours)
    started = Child(process, reader, writer, arena)
    try:
        yield started
    finally:
        started.kill()
        writer.close()
        await process.wait()
        arena.close()
