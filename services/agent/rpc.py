"""Execution: batches from the worker, one hand-over each."""

from functools import lru_cache
from typing import Protocol

from google.protobuf.message import DecodeError

from protos.serving.v1 import execution_pb2
from services.agent.device.work import Done, Work
from services.agent.metrics import AgentMetrics
from shared.errors import InvalidRequest, ServingError
from shared.servable import ServableVersion
from shared.wire.exchange_server import Incoming, serve_exchange
from shared.wire.interface import CallContext, Routes, Stream

EXCHANGE_PATH = "/mindserve.serving.v1.Execution/Exchange"
_MAX_OUTSTANDING = 64
_read_head = lru_cache(execution_pb2.ExecuteHead.FromString)
"""Many batches have the same head."""


class Executor(Protocol):
    """Whoever runs batches of the servable versions held here."""

    async def execute(self, work: Work) -> Done:
        """Run one batch."""


class ExecutionDoor:
    """Reads what a batch is, and passes it on as it came."""

    def __init__(self, executor: Executor, metrics: AgentMetrics) -> None:
        self._executor = executor
        self._metrics = metrics

    @property
    def routes(self) -> Routes:
        """Serve these to the worker."""
        return Routes(streams={EXCHANGE_PATH: self._exchange})

    async def _exchange(self, context: CallContext, stream: Stream) -> None:
        del context
        await serve_exchange(stream, self._execute, max_outstanding=_MAX_OUTSTANDING)

    async def _execute(self, incoming: Incoming) -> bytes:
        try:
            head = _read_head(incoming.head)
        except DecodeError as failure:
            raise InvalidRequest("not an ExecuteHead") from failure
        what = ServableVersion(head.servable, head.version)
        work = Work(what, head.model, head.rows, incoming.head, incoming.payload, head.epoch)
        try:
            done = await self._executor.execute(work)
        except ServingError as failure:
            self._metrics.failures.labels(type(failure).__name__).inc()
            raise
        self._metrics.device_seconds.observe(done.device_seconds)
        self._metrics.rows.observe(head.rows)
        return done.reply
