"""Agents of ranks that do and say what a test wants, on a real wire."""

import asyncio
import contextlib

import numpy as np

from protos.serving.v1 import execution_pb2
from services.worker.agents.execution import EXECUTION_PATH
from shared.errors import MemoryNotShared, PeerLost, ServingError
from shared.membership import (
    Assignment,
    Device,
    Hello,
    Holding,
    Holdings,
    ModelSignature,
    SubgraphSignature,
)
from shared.tasks import task_scope
from shared.tensors import ElementType, TensorSpec
from shared.wire.exchange_server import serve_exchange
from shared.wire.interface import Routes
from shared.wire.membership import Membership
from shared.wire.tensor_codec import read_tensors, write_tensor
from tests.support.cluster import until

ROW = TensorSpec("x", ElementType.FLOAT32, (-1, 2))


def model(key, *, inputs=(ROW,), outputs=(ROW,), subgraphs=1, batch_size=8):
    """What a rank says that it loaded."""
    graph = SubgraphSignature(tuple(inputs), tuple(outputs))
    return ModelSignature(key, (graph,) * subgraphs, batch_size)


class Rank:
    """One agent: reports what it is told to, and answers batches with ``compute``."""

    def __init__(
        self, wire, registrar_address, rank, signature, *, device="CPU", epoch=0, local=False
    ):
        self.rank = rank
        self.name = f"agent{rank}-{id(self)}"
        self.signature = signature
        self.told = Assignment()
        self.epochs = []
        """Of its parts, in the order in which it was told; 0 where it was told to have none."""
        self.state = "ready"
        self.detail = ""
        self.scheduler = ""
        self.drains = False
        self.seen = []
        """Of each batch: its epoch, its inputs, and whether outputs are wanted."""
        self.subgraphs = []
        self.compute = lambda inputs: inputs
        self._wire = wire
        self._registrar_address = registrar_address
        self._device = Device(device, rank)
        self._epoch = epoch
        self._local = f"unix-abstract:{self.name}" if local else ""
        self._stop = asyncio.Event()
        self._breaks = asyncio.Event()

    @property
    def part(self):
        """Its part in a gang, if it is told to have one."""
        return self.told.servables[0].gang if self.told.servables else None

    def _held(self):
        told = () if self.drains else self.told.servables
        return Holdings(tuple(map(self._holding, told)))

    def drain(self):
        """Hold nothing any more."""
        self.drains = True
        self.membership.changed()

    def _holding(self, assigned):
        models = (self.signature,) if self.state == "ready" else ()
        return Holding(
            assigned.what, self.state, self.detail, models, assigned.gang.epoch, self.scheduler
        )

    def say(self, state, detail="", *, scheduler=""):
        """Report another state."""
        self.state, self.detail, self.scheduler = state, detail, scheduler
        self.membership.changed()

    def leave(self):
        """Close every connection."""
        self._stop.set()

    async def serve(self):
        """Be there until told to leave."""
        async with contextlib.AsyncExitStack() as stack:
            routes = Routes(streams={EXECUTION_PATH: self._exchange})
            addresses = ["127.0.0.1:0", *filter(None, [self._local])]
            server = await stack.enter_async_context(self._wire.serve(routes, addresses))
            scope = await stack.enter_async_context(task_scope())
            address = server.addresses[0]
            self.hello = Hello(
                self.name, address, self._local, self._device, self.rank, self._epoch
            )
            self.membership = Membership(
                self._wire, lambda: self.hello, self._held, lambda: 0, self._noticed
            )
            scope.spawn(self.membership.keep_joined(self._registrar_address), name="member")
            await self._stop.wait()

    def _noticed(self, notice):
        if isinstance(notice, Assignment):
            self.told = notice
            self.epochs.append(self.part.epoch if self.part else 0)
            self.membership.changed()

    def break_link(self):
        """Lose the connection that batches come by, once."""
        self._breaks.set()

    async def _exchange(self, context, stream):
        async with task_scope() as scope:
            scope.spawn(self._until_broken(), name="link")
            await serve_exchange(stream, self._execute, max_outstanding=64)

    async def _until_broken(self):
        await self._breaks.wait()
        self._breaks.clear()
        raise PeerLost("a test broke it")

    async def _execute(self, incoming):
        head = execution_pb2.ExecuteHead.FromString(incoming.head)
        request = execution_pb2.ExecuteRequest.FromString(incoming.payload)
        if request.HasField("region"):
            raise MemoryNotShared("this rank maps no memory")
        inputs = read_tensors(request.inputs)
        self.subgraphs.append(request.subgraph)
        self.seen.append((head.epoch, inputs, not request.without_outputs))
        outputs = self.compute(inputs)
        if isinstance(outputs, ServingError):
            raise outputs
        if asyncio.iscoroutine(outputs):
            outputs = await outputs
        wanted = [] if request.without_outputs else outputs
        written = [write_tensor(np.asarray(each)) for each in wanted]
        return execution_pb2.ExecuteReply(outputs=written).SerializeToString()

    async def until_told(self, condition, what):
        """Wait for an assignment."""
        await until(lambda: condition(self.part), what=f"rank {self.rank}: {what}")
