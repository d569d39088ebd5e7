"""Large payloads of an exchange in memory that both ends map."""

import asyncio
import os
from contextlib import asynccontextmanager

import psutil
import pytest

from protos.serving.v1 import exchange_pb2
from shared.addresses import is_this_host
from shared.errors import MemoryNotShared, Overloaded
from shared.regions import NONCE_BYTES, OwnRegion, Region, Regions
from shared.wire.exchange import open_exchange
from shared.wire.exchange_messages import MOST_REGIONS, SHARED_FROM_BYTES, SHARED_TO_BYTES
from shared.wire.exchange_server import serve_exchange
from shared.wire.interface import Routes
from shared.wire.wires import wire_named
from tests.support.cluster import until

PATH = "/test.Exchange/Exchange"
LARGE = SHARED_FROM_BYTES


class Peer:
    """Answers with the payload's length and last bytes; counts bytes of messages."""

    def __init__(self, *, peer_host=""):
        self._peer_host = peer_host
        self.seen = []
        self.message_bytes = 0
        self.hold = None
        self.refuses = None

    async def _answer(self, incoming):
        self.seen.append(incoming.payload)
        if self.hold is not None:
            await self.hold.wait()
        if self.refuses is not None:
            raise self.refuses
        return b"%d %s" % (len(incoming.payload), incoming.payload[-4:])

    async def exchange(self, context, stream):
        await serve_exchange(
            _Counting(stream, self), self._answer, max_outstanding=100, peer_host=self._peer_host
        )


class _Counting:
    def __init__(self, stream, peer):
        self._stream = stream
        self._peer = peer
        self.send = stream.send
        self.post = stream.post

    @property
    def is_free(self):
        return self._stream.is_free

    async def hear(self, take):
        def counted(message):
            self._peer.message_bytes += len(message)
            take(message)

        await self._stream.hear(counted)


@asynccontextmanager
async def connected(peer, *, shares_memory=True):
    wire = wire_named("native")
    async with (
        asyncio.timeout(20),
        wire.serve(Routes(streams={PATH: peer.exchange}), ["127.0.0.1:0"]) as server,
        wire.connect(server.addresses[0]) as channel,
        open_exchange(
            channel, PATH, peer="the peer", max_outstanding=100, shares_memory=shares_memory
        ) as exchange,
    ):
        yield exchange


@pytest.mark.parametrize("size", [LARGE, LARGE + 1, SHARED_TO_BYTES])
async def test_large_payloads_do_not_travel_in_messages(size):
    peer = Peer()
    async with connected(peer) as exchange:
        for number in range(3):
            payload = b"%d" % number * (size - 4) + b"last"
            assert await exchange.call(payload) == b"%d last" % size
            assert peer.seen.pop() == payload
    assert peer.message_bytes < 1000


@pytest.mark.parametrize("size", [LARGE - 1, SHARED_TO_BYTES + 1])
async def test_small_and_very_large_ones_do(size):
    peer = Peer()
    async with connected(peer) as exchange:
        assert await exchange.call(b"x" * (size - 4) + b"last") == b"%d last" % size
    assert peer.message_bytes > size


@pytest.mark.parametrize("shares_memory", [False, True])
async def test_peers_that_do_not_share_get_messages(shares_memory):
    peer = Peer(peer_host="203.0.113.7")
    async with connected(peer, shares_memory=shares_memory) as exchange:
        calls = [exchange.call(b"%04d" % n * (LARGE // 4)) for n in range(5)]
        assert await asyncio.gather(*calls) == [b"%d %04d" % (LARGE, n) for n in range(5)]
        assert len(peer.seen) == 5


async def test_a_refusal_that_is_the_handlers_own_is_passed_on_and_not_tried_again():
    peer = Peer()
    peer.refuses = MemoryNotShared("not this time")
    async with connected(peer, shares_memory=False) as exchange:
        with pytest.raises(MemoryNotShared):
            await exchange.call(b"x" * LARGE)
    assert len(peer.seen) == 1


async def test_payloads_at_the_same_time_do_not_mix_however_many():
    peer = Peer()
    async with connected(peer) as exchange:
        for _ in range(2):
            calls = [exchange.call(b"%04d" % n * LARGE) for n in range(MOST_REGIONS + 5)]
            answers = await asyncio.gather(*calls)
            assert answers == [b"%d %04d" % (4 * LARGE, n) for n in range(MOST_REGIONS + 5)]


async def test_a_failure_gives_the_memory_back_and_leaving_does_not_reuse_it():
    peer = Peer()
    async with connected(peer) as exchange:
        peer.refuses = Overloaded("full")
        for _ in range(2 * MOST_REGIONS):
            with pytest.raises(Overloaded):
                await exchange.call(b"x" * LARGE)
        assert peer.message_bytes < 20_000
        peer.refuses, peer.hold = None, asyncio.Event()
        left = asyncio.create_task(exchange.call(b"left" * LARGE))
        await until(lambda: len(peer.seen) > 2 * MOST_REGIONS, what="the peer to have the call")
        left.cancel()
        await asyncio.wait([left])
        peer.hold.set()
        assert await exchange.call(b"next" * LARGE) == b"%d next" % (4 * LARGE)


async def test_a_peer_that_names_nonsense_is_told_so_and_its_neighbours_live():
    peer = Peer()
    region = OwnRegion()
    wrong = [
        Region(os.getpid(), 99_999, region.told.nonce),
        Region(2**31 - 1, region.told.fd, region.told.nonce),
        Region(os.getpid(), region.told.fd, b"f" * NONCE_BYTES),
        Region(os.getpid(), region.told.fd, b"short"),
    ]
    wire = wire_named("native")
    async with (
        asyncio.timeout(20),
        wire.serve(Routes(streams={PATH: peer.exchange}), ["127.0.0.1:0"]) as server,
        wire.connect(server.addresses[0]) as channel,
        channel.stream(PATH) as stream,
    ):
        answers = aiter(stream)
        await anext(answers)
        named = [(each, 100) for each in wrong] + [(region.told, 1 << 50), (region.told, 4)]
        calls = exchange_pb2.Calls(
            calls=[
                exchange_pb2.Call(
                    id=number,
                    region=exchange_pb2.Region(pid=r.pid, fd=r.fd, nonce=r.nonce),
                    size=size,
                )
                for number, (r, size) in enumerate(named, 1)
            ]
        )
        await stream.send(calls.SerializeToString())
        found = {}
        while len(found) < len(named):
            for answer in exchange_pb2.Answers.FromString(await anext(answers)).answers:
                found[answer.id] = answer.failure.name
    assert [found[n] for n in range(1, 7)] == ["MemoryNotShared"] * 5 + [""]
    region.close()


def test_only_so_many_regions_stay_open():
    regions, own = Regions(2), [OwnRegion() for _ in range(4)]
    before = psutil.Process().num_fds()
    for each in own:
        assert regions.read(each.told, 8) == bytes(8)
    assert psutil.Process().num_fds() == before + 2 * 2  # a mapping has a descriptor of its own
    regions.close()
    own[0].close()
    with pytest.raises(MemoryNotShared):
        regions.read(own[0].told, 8)
    for each in own[1:]:
        each.close()
    assert psutil.Process().num_fds() == before - 4 * 2


@pytest.mark.parametrize(
    ("host", "ours"),
    [("127.0.0.1", True), ("::1", True), ("", True), ("203.0.113.7", False), (None, False)],
)
def test_who_is_on_this_host(host, ours):
    assert is_this_host(host) is ours
