"""Connections to workers that serve language models, beside those of Dispatch.

On connections of their own, so that a client who does not read its text keeps no tensors waiting.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import structlog

from shared.deadline import Deadline
from shared.errors import DeadlineExceeded, PeerLost, ServingError, Unavailable, WorkerLost
from shared.tasks import TaskScope
from shared.wire.interface import Channel, Metadata, Stream, Wire

log = structlog.get_logger()

TOO_LATE = "the deadline passed while text was generated"
_RETRY_SECONDS = 1.0
# Of one stream: a client who does not read makes its worker wait after so many.
_UNREAD_BYTES = 64 << 10


@dataclass(slots=True)
class _Connected:
    """One worker: calls to it that are not over, and how they are made."""

    task: asyncio.Task[None]
    channel: Channel | None = None
    outstanding: int = 0


class TextChannels:
    """A channel to each worker that is there, connected when it is first used."""

    def __init__(self, wire: Wire, scope: TaskScope) -> None:
        self._wire = wire
        self._scope = scope
        self._workers: dict[str, _Connected] = {}

    def open(self, worker: str, address: str) -> None:
        """A worker joined."""
        task = self._scope.spawn(self._keep(worker, address), name=f"text of worker {worker}")
        self._workers[worker] = _Connected(task)

    def close(self, worker: str) -> None:
        """A worker left: its streams end."""
        self._workers.pop(worker).task.cancel()

    def outstanding(self, worker: str) -> int:
        """Calls in the hands of a worker."""
        found = self._workers.get(worker)
        return 0 if found is None else found.outstanding

    @asynccontextmanager
    async def channel(self, worker: str) -> AsyncIterator[Channel]:
        """Call ``worker`` while inside. Raises Unavailable, and WorkerLost when it is lost."""
        found = self._workers.get(worker)
        if found is None or found.channel is None:
            raise Unavailable("the worker is not connected")
        found.outstanding += 1
        try:
            yield found.channel
        finally:
            found.outstanding -= 1

    async def _keep(self, worker: str, address: str) -> None:
        while True:
            try:
                async with self._wire.connect(address, unread_bytes=_UNREAD_BYTES) as channel:
                    self._workers[worker].channel = channel
                    await asyncio.get_running_loop().create_future()
            except (ServingError, OSError) as failure:
                log.info("no channel for text", worker=worker, reason=str(failure))
            await asyncio.sleep(_RETRY_SECONDS)


@asynccontextmanager
async def open_stream(
    channel: Channel, path: str, message: bytes, deadline: Deadline | None, metadata: Metadata
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The answers to one message, as a stream. Who leaves ends it at the worker."""
    async with channel.stream(path, deadline=deadline, metadata=metadata) as stream:
        await stream.send(message)
        async with aclosing(_answers(stream)) as answers:
            yield answers


async def _answers(stream: Stream) -> AsyncGenerator[bytes, None]:
    try:
        async for answer in stream:
            yield answer
    except DeadlineExceeded:
        raise DeadlineExceeded(TOO_LATE) from None
    except PeerLost as failure:
        if type(failure) is not PeerLost:
            # The worker itself says what it lost.
            raise
        raise WorkerLost("the worker was lost while it generated") from failure
