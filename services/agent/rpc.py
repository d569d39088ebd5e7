"""Execution: batches from the worker, one hand-over each."""

from typing import Protocol

from google.protobuf.message import DecodeError

from protos.serving.v1 import execution_pb2
from services.agent.device.work import Done, Region, SharedInputs, Work
from services.agent.metrics import AgentMetrics
from shared.errors import InvalidRequest, ServingError
from shared.servable import ServableVersion
from shared.tensors import Array
from shared.wire.exchange_server import Incoming, serve_exchange
from shared.wire.interface import CallContext, Routes, Stream
from shared.wire.tensor_codec import read_placed, read_tensors, write_tensor

EXCHANGE_PATH = "/mindserve.serving.v1.Execution/Exchange"
_MAX_OUTSTANDING = 64


class Executor(Protocol):
    """Whoever runs batches of the servable versions held here."""

    async def execute(self, work: Work) -> Done:
        """Run one batch."""


class ExecutionDoor:
    """Converts, calls, converts."""

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
            request = execution_pb2.ExecuteRequest.FromString(incoming.payload)
        except DecodeError as failure:
            raise InvalidRequest("not an ExecuteRequest") from failure
        try:
            done = await self._executor.execute(_work(request))
        except ServingError as failure:
            self._metrics.failures.labels(type(failure).__name__).inc()
            raise
        self._metrics.device_seconds.observe(done.device_seconds)
        self._metrics.rows.observe(request.rows)
        return execution_pb2.ExecuteReply(
            outputs=map(write_tensor, done.outputs), device_seconds=done.device_seconds
        ).SerializeToString()


def _work(request: execution_pb2.ExecuteRequest) -> Work:
    inputs: list[Array] | SharedInputs
    if request.HasField("region"):
        region = Region(request.region.pid, request.region.fd, request.region.nonce)
        inputs = SharedInputs(region, read_placed(request.inputs), request.output_offset)
    else:
        inputs = read_tensors(request.inputs)
    what = ServableVersion(request.servable, request.version)
    return Work(what, request.model, request.subgraph, request.rows, inputs)
