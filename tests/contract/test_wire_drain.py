"""A server that takes no more calls on a connection, or at all, loses none that were made."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest

from shared.deadline import Deadline
from shared.errors import PeerLost, Unavailable
from shared.wire.grpcio import GrpcioWire
from shared.wire.http2 import frames as f
from shared.wire.http2.frames import Code
from shared.wire.interface import ConnectionAge, Routes
from shared.wire.native import NativeWire
from tests.support.cluster import until

ECHO, HANG = "/test.Service/Echo", "/test.Service/Hang"
WIRES = [GrpcioWire, NativeWire]


async def echo(context, message):
    await asyncio.sleep(0.01)  # so long that a connection ends while calls are on it
    return message


def soon():
    return Deadline.after(20, now=asyncio.get_running_loop().time())


class Relay:
    """Carries bytes to a server, and counts who came."""

    def __init__(self, target):
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self.connections = 0
        self.open = 0

    @asynccontextmanager
    async def listening(self):
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        async with server:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _relay(self, reader, writer):
        self.connections += 1
        self.open += 1
        there, back = await asyncio.open_connection(self._host, self._port)
        try:
            await asyncio.gather(_carry(reader, back), _carry(there, writer))
        finally:
            self.open -= 1


async def _carry(reader, writer):
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def keep_calling(channel, path, enough, failures):
    calls = 0
    while not enough():
        try:
            assert await channel.call(path, b"hello", deadline=soon()) == b"hello"
        except Exception as failure:
            failures.append(failure)
        calls += 1
    return calls


@pytest.mark.parametrize("calling", WIRES)
@pytest.mark.parametrize("serving", WIRES)
async def test_a_client_that_keeps_calling_loses_no_call_when_its_connection_gets_too_old(
    serving, calling
):
    age = ConnectionAge(seconds=0.3, grace_seconds=10.0)
    async with (
        asyncio.timeout(60),
        serving().serve(Routes({ECHO: echo}), ["127.0.0.1:0"], max_connection_age=age) as server,
    ):
        relay = Relay(server.addresses[0])
        async with relay.listening() as address, calling().connect(address) as channel:
            failures = []
            await asyncio.gather(
                *(
                    keep_calling(channel, ECHO, lambda: relay.connections > 4, failures)
                    for _ in range(8)
                )
            )
            assert failures == []
            # Connections that are too old end; they do not pile up.
            await until(lambda: relay.open <= 2, what="the old connections to end")


@pytest.mark.parametrize("wire", WIRES)
async def test_a_call_outlives_the_age_but_not_the_grace(wire):
    async def hang(context, message):
        await asyncio.sleep(1.0 if message == b"short" else 60.0)  # a call this long
        return message

    age = ConnectionAge(seconds=0.2, grace_seconds=2.0)
    async with (
        asyncio.timeout(60),
        wire().serve(Routes({HANG: hang}), ["127.0.0.1:0"], max_connection_age=age) as server,
        wire().connect(server.addresses[0]) as channel,
    ):
        short = asyncio.create_task(channel.call(HANG, b"short", deadline=soon()))
        long = asyncio.create_task(channel.call(HANG, b"long", deadline=soon()))
        assert await short == b"short"
        with pytest.raises(PeerLost):
            await long


async def test_no_call_of_grpcs_own_client_is_lost_when_connections_get_too_old():
    age = ConnectionAge(seconds=0.2, grace_seconds=10.0)
    async with (
        asyncio.timeout(60),
        NativeWire().serve(Routes({ECHO: echo}), ["127.0.0.1:0"], max_connection_age=age) as server,
    ):
        relay = Relay(server.addresses[0])
        options = [("grpc.enable_retries", 0)]
        async with (
            relay.listening() as address,
            grpc.aio.insecure_channel(address, options=options) as channel,
        ):
            call = channel.unary_unary(ECHO)
            while relay.connections < 5:
                assert set(await asyncio.gather(*(call(b"x") for _ in range(20)))) == {b"x"}


async def test_calls_that_cross_a_drain_are_served():
    """From the farewell to its echo a client may go on as if nothing had been said."""
    async with (
        asyncio.timeout(30),
        NativeWire().serve(Routes({ECHO: echo}), ["127.0.0.1:0"]) as server,
        NativeWire().connect(server.addresses[0]) as channel,
    ):
        assert await channel.call(ECHO, b"first", deadline=soon()) == b"first"
        closing = asyncio.create_task(server.close(10.0))
        await asyncio.sleep(0)
        assert await channel.call(ECHO, b"crossing", deadline=soon()) == b"crossing"
        await closing


async def test_a_drained_server_ends_at_once_when_its_calls_have_ended():
    begun, ends = asyncio.Event(), asyncio.Event()

    async def hold(context, message):
        begun.set()
        await ends.wait()
        return message

    async with (
        asyncio.timeout(30),
        NativeWire().serve(Routes({ECHO: hold}), ["127.0.0.1:0"]) as server,
        NativeWire().connect(server.addresses[0]) as channel,
    ):
        call = asyncio.create_task(channel.call(ECHO, b"last", deadline=soon()))
        await begun.wait()
        closing = asyncio.create_task(server.close(3600.0))
        await asyncio.sleep(0)  # it begins
        assert not closing.done()
        ends.set()
        await closing
        assert await call == b"last"


@pytest.mark.parametrize(
    "refusal",
    [f.goaway_frame(0, Code.NO_ERROR), f.rst_stream_frame(1, Code.REFUSED_STREAM)],
    ids=["goaway", "refused"],
)
async def test_a_call_that_the_server_has_not_looked_at_is_made_once_more(refusal):
    refused = 0

    async with NativeWire().serve(Routes({ECHO: echo}), ["127.0.0.1:0"]) as good:
        host, _, port = good.addresses[0].rpartition(":")

        async def refuse_first(reader, writer):
            nonlocal refused
            if refused == 0:
                refused += 1
                writer.write(f.settings_frame({}))
                await reader.readuntil(ECHO.encode())
                writer.write(refusal + f.goaway_frame(0, Code.NO_ERROR))
                await _carry(reader, writer)
                return
            there, back = await asyncio.open_connection(host, int(port))
            await asyncio.gather(_carry(reader, back), _carry(there, writer))

        listening = await asyncio.start_server(refuse_first, "127.0.0.1", 0)
        address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with asyncio.timeout(30), listening, NativeWire().connect(address) as channel:
            assert await channel.call(ECHO, b"again", deadline=soon()) == b"again"
    assert refused == 1


async def test_a_call_that_nobody_looks_at_is_unavailable():
    async def refuse(reader, writer):
        writer.write(f.settings_frame({}))
        await reader.readuntil(ECHO.encode())
        writer.write(f.goaway_frame(0, Code.NO_ERROR))
        await _carry(reader, writer)

    listening = await asyncio.start_server(refuse, "127.0.0.1", 0)
    address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with asyncio.timeout(30), listening, NativeWire().connect(address) as channel:
        with pytest.raises(Unavailable, match="takes no more calls"):
            await channel.call(ECHO, b"", deadline=soon())


@pytest.mark.parametrize("wire", WIRES)
async def test_a_server_whose_closing_was_interrupted_closes_all_the_same(wire):
    begun = asyncio.Event()

    async def hang(context, message):
        begun.set()
        return await asyncio.Future()

    async with asyncio.timeout(20), wire().serve(Routes({HANG: hang}), ["127.0.0.1:0"]) as server:
        async with wire().connect(server.addresses[0]) as channel:
            call = asyncio.create_task(channel.call(HANG, b"", deadline=soon()))
            await begun.wait()
            closing = asyncio.create_task(server.close(0))
            await asyncio.sleep(0)  # it begins
            closing.cancel()
            await asyncio.wait([closing])
            call.cancel()
            await asyncio.wait([call])
