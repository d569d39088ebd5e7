"""``python -m benchmarks.generation.levels.told_worker MASTER``: a worker that computes nothing.

It joins a master and continues every text at once, one token a reply, so that a master's own
part of a step can be measured: HTTP, JSON and events.
"""

import asyncio
import sys

import uvloop

from services.worker.rpc import DISPATCH_PATH
from shared.membership import Hello, LanguageOffer, Offer, Offers
from shared.servable import ServableVersion
from shared.tasks import task_scope
from shared.text_generation import GenerateReply, Piece, Usage
from shared.wire import text_codec as codec
from shared.wire import text_replies_codec as replies
from shared.wire.exchange_server import Incoming, serve_exchange
from shared.wire.interface import CallContext, Routes, Stream
from shared.wire.membership import Membership
from shared.wire.native import NativeWire

MODEL = "told"
OFFERS = Offers(
    (Offer(ServableVersion(MODEL, 1), {}, 1000, LanguageOffer((), 256, 16, False, 0, "CPU")),)
)


async def generate(context: CallContext, stream: Stream) -> None:
    """As many tokens as were asked for."""
    asked = codec.read_generate(await anext(aiter(stream)))
    most = asked.max_new_tokens or 1
    for number in range(most):
        piece = Piece(0, " word", (7,), "length" if number == most - 1 else "")
        await stream.send(replies.write_reply(GenerateReply((piece,))))
        await asyncio.sleep(0)
    usage = Usage(1, most, 0, 0.0, 0.0, 0.0)
    await stream.send(replies.write_reply(GenerateReply(usage=usage)))


async def nothing(incoming: Incoming) -> bytes:
    return b""


async def exchange(context: CallContext, stream: Stream) -> None:
    await serve_exchange(stream, nothing, max_outstanding=100)


async def run(master: str) -> None:
    wire = NativeWire()
    routes = Routes(streams={DISPATCH_PATH: exchange, codec.GENERATE_PATH: generate})
    async with wire.serve(routes, ["127.0.0.1:0"]) as server, task_scope() as scope:
        hello = Hello("told", server.addresses[0])
        member = Membership(wire, lambda: hello, lambda: OFFERS, lambda: 0, lambda notice: None)
        scope.spawn(member.keep_joined(master), name="worker")
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    uvloop.run(run(sys.argv[1]))
