"""``python -m benchmarks.scaling.simulated --master A --workers N --wire W``.

One process that joins a master as many workers and answers y = 2x itself, so that what many
workers cost the master can be measured on one machine.
"""

import argparse
import asyncio
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import uvloop

from protos.ms_service import ms_service_pb2 as pb
from services.worker.rpc import DISPATCH_PATH
from shared.membership import Hello, Offer, OfferedMethod, Offers
from shared.servable import ServableVersion
from shared.tasks import task_scope
from shared.wire.exchange_server import Incoming, serve_exchange
from shared.wire.interface import CallContext, Routes, Stream
from shared.wire.membership import Membership
from shared.wire.wires import WireName, wire_named

ALL_LINKED = "the master is linked to every worker"
OFFERS = Offers((Offer(ServableVersion("bench", 1), {"predict": OfferedMethod()}, 1000),))


@lru_cache
def answer(message: bytes) -> bytes:
    """The reply to a PredictRequest; the same request need not be answered twice."""
    request = pb.PredictRequest.FromString(message)
    reply = pb.PredictReply(servable_spec=request.servable_spec)
    for instance in request.instances:
        tensor = reply.instances.add().items["y"]
        tensor.CopyFrom(instance.items["x"])
        tensor.data = (np.frombuffer(tensor.data, np.float32) * 2).tobytes()
    return reply.SerializeToString()


async def predict(incoming: Incoming) -> bytes:
    return answer(incoming.payload)


def membership(wire_name: WireName, number: int, address: str) -> Membership:
    """One of the workers; all of them are called at the same address."""
    hello = Hello(f"simulated-{number}", address)
    return Membership(
        wire_named(wire_name), lambda: hello, lambda: OFFERS, lambda: 0, lambda notice: None
    )


async def run(master: str, workers: int, wire_name: WireName) -> None:
    linked = 0

    async def exchange(context: CallContext, stream: Stream) -> None:
        nonlocal linked
        linked += 1
        if linked == workers:
            print(ALL_LINKED, flush=True)
        await serve_exchange(stream, predict, max_outstanding=10_000)

    routes = Routes(streams={DISPATCH_PATH: exchange})
    async with (
        wire_named(wire_name).serve(routes, ["127.0.0.1:0"]) as server,
        task_scope() as scope,
    ):
        for number in range(workers):
            member = membership(wire_name, number, server.addresses[0])
            scope.spawn(member.keep_joined(master), name=f"worker {number}")
        await asyncio.get_running_loop().create_future()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling.simulated")
    parser.add_argument("--master", required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--wire", choices=("grpcio", "native"), required=True)
    given = parser.parse_args(argv)
    uvloop.run(run(given.master, given.workers, given.wire))


if __name__ == "__main__":
    main()
