"""What a client may do to the native wire's server, and what becomes of one that does more."""

import asyncio
import contextlib
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from shared.deadline import Deadline
from shared.errors import Overloaded, PeerLost
from shared.wire.http2 import frames as f
from shared.wire.http2 import grpc_messages
from shared.wire.http2 import grpc_protocol as grpc
from shared.wire.http2.frames import Setting
from shared.wire.http2.headers import HeaderReader, HeaderWriter
from shared.wire.http2.limits import Limits
from shared.wire.interface import Routes
from shared.wire.native import NativeWire
from tests.support.cluster import until

ECHO, BIG, IGNORE = "/test.Service/Echo", "/test.Service/Big", "/test.Service/Ignore"
CLOSED = None


async def echo(context, message):
    return message


async def ignore(context, stream):
    """Ends without having read anything but the first message."""
    async for _ in stream:
        return


def soon():
    return Deadline.after(20, now=asyncio.get_running_loop().time())


class Attacker:
    """A client that writes whatever frames it likes."""

    def __init__(self, reader, writer):
        self._reader = reader
        self._writer = writer
        self._headers = HeaderReader(grpc.read_response, max_bytes=1 << 20)
        self._next = 1
        self.pings = 0

    async def send(self, *frames):
        self._writer.write(b"".join(frames))
        await self._writer.drain()

    def call(self, path, *, end=False, encoding=b"identity"):
        """A call's stream and its first frame."""
        block = HeaderWriter().write(
            (
                (b":method", b"POST"),
                (b":scheme", b"http"),
                (b":path", path.encode()),
                (b"content-type", b"application/grpc"),
                (b"te", b"trailers"),
                (b"grpc-encoding", encoding),
            )
        )
        number, self._next = self._next, self._next + 2
        return number, f.frame(f.HEADERS, f.END_HEADERS | end, number, block)

    async def end(self, stream, *, before=None):
        """The trailers that ended ``stream``, or CLOSED when the connection was closed."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length, kind, flags, number = f.read_head(await self._reader.readexactly(9), 0)
                payload = await self._reader.readexactly(length)
                self.pings += kind == f.PING
                if kind == f.HEADERS:
                    parsed = self._headers.read(payload)
                    assert number != before
                    if number == stream and flags & f.END_STREAM:
                        return parsed
        return CLOSED

    async def closed(self):
        return await self.end(-1) is CLOSED


@asynccontextmanager
async def attacked(handlers, limits=None, max_message_bytes=100 << 20):
    """A client in no way polite, connected to a server of ``handlers``."""
    wire = NativeWire(limits)
    async with (
        asyncio.timeout(30),
        wire.serve(handlers, ["127.0.0.1:0"], max_message_bytes=max_message_bytes) as server,
    ):
        host, _, port = server.addresses[0].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        attacker = Attacker(reader, writer)
        # With windows wide open.
        wide = f.settings_frame({Setting.INITIAL_WINDOW_SIZE: f.LARGEST_WINDOW})
        more = f.window_update_frame(0, f.LARGEST_WINDOW - f.DEFAULT_WINDOW)
        await attacker.send(f.PREFACE, wide, more)
        try:
            yield attacker
        finally:
            writer.close()


async def test_a_client_that_never_reads_its_answers_is_served_no_more_and_ended():
    """CVE-2019-9517: windows wide open, and nothing taken from the socket."""
    served = 0

    async def big(context, message):
        nonlocal served
        served += 1
        return bytes(1 << 20)

    limits = Limits(stalled_seconds=1.0, tend_seconds=0.1)
    with capture_logs() as logs:
        async with attacked(Routes({BIG: big}), limits) as attacker:
            for _ in range(300):
                number, head = attacker.call(BIG)
                body = f.frame(f.DATA, f.END_STREAM, number, grpc_messages.frame_message(b""))
                await attacker.send(head, body)
                await asyncio.sleep(0)
            await until(lambda: logs, what="the client to be ended")
    assert served < 100
    assert logs[0]["reason"] == "answers waited to be taken for too long"


async def test_a_client_that_reads_slowly_is_served_whole():
    """Slower than it is given, and without a word, but never still for long."""
    size = 32 << 20

    async def big(context, message):
        return bytes(size)

    limits = Limits(stalled_seconds=5.0, silent_seconds=0.3, tend_seconds=0.05)
    async with attacked(Routes({BIG: big}), limits) as attacker:
        number, head = attacker.call(BIG)
        await attacker.send(head, f.frame(f.DATA, 1, number, grpc_messages.frame_message(b"")))
        for _ in range(20):
            assert await attacker._reader.read(1 << 16)
            await asyncio.sleep(0.05)  # a slow reader, for longer than silence is borne
        came = 20 << 16
        while came < size:
            part = await attacker._reader.read(1 << 20)
            assert part
            came += len(part)


async def test_messages_that_are_half_sent_are_bounded_over_all_calls():
    limits = Limits(max_held_bytes=100_000)
    async with attacked(Routes({ECHO: echo}), limits) as attacker:
        half = grpc_messages.message_prefix(bytes(90_000)) + bytes(60_000)
        first, head = attacker.call(ECHO)
        await attacker.send(head, f.frame(f.DATA, 0, first, half))
        second, head = attacker.call(ECHO)
        await attacker.send(head, f.frame(f.DATA, 0, second, half))
        refused = await attacker.end(second)
        assert (refused.grpc_status, refused.metadata["mindserve-error"]) == (8, "Overloaded")
        await attacker.send(f.frame(f.DATA, f.END_STREAM, first, bytes(30_000)))
        assert (await attacker.end(first)).grpc_status == 0
        # What was held was given back.
        third, head = attacker.call(ECHO)
        await attacker.send(head, f.frame(f.DATA, 0, third, half))
        await attacker.send(f.frame(f.DATA, f.END_STREAM, third, bytes(30_000)))
        assert (await attacker.end(third)).grpc_status == 0


async def test_a_call_whose_message_stops_to_come_is_ended():
    limits = Limits(stalled_seconds=0.2, tend_seconds=0.05)
    async with attacked(Routes({ECHO: echo}), limits) as attacker:
        number, head = attacker.call(ECHO)
        await attacker.send(head, f.frame(f.DATA, 0, number, b"\0\0"))
        ended = await attacker.end(number)
        assert ended.grpc_status == 1
        assert "half a message" in ended.message


async def test_calls_begun_and_spoilt_count_as_resets():
    """CVE-2025-8671 one layer up: work has begun when a second message spoils the call."""
    limits = Limits(max_nuisance=50)
    async with attacked(Routes({ECHO: echo}), limits) as attacker:
        for _ in range(100):
            number, head = attacker.call(ECHO)
            twice = grpc_messages.frame_message(b"") * 2
            await attacker.send(head, f.frame(f.DATA, f.END_STREAM, number, twice))
        assert await attacker.closed()


async def test_the_end_of_a_stream_after_its_message_is_no_second_message():
    started = asyncio.Event()
    release = asyncio.Event()

    async def wait(context, message):
        started.set()
        await release.wait()
        return message

    async with attacked(Routes({ECHO: wait, BIG: echo})) as attacker:
        number, head = attacker.call(ECHO)
        await attacker.send(head, f.frame(f.DATA, 0, number, grpc_messages.frame_message(b"once")))
        await started.wait()
        other, head = attacker.call(BIG)
        question = f.frame(f.DATA, f.END_STREAM, other, grpc_messages.frame_message(b""))
        await attacker.send(f.frame(f.DATA, f.END_STREAM, number), head, question)
        assert (await attacker.end(other)).grpc_status == 0
        release.set()
        assert (await attacker.end(number)).grpc_status == 0


async def test_what_a_handler_left_unread_gives_its_window_back():
    limits = Limits(stream_window=70_000, connection_window=100_000)
    wire = NativeWire(limits)
    async with (
        asyncio.timeout(30),
        wire.serve(Routes({ECHO: echo}, {IGNORE: ignore}), ["127.0.0.1:0"]) as server,
        wire.connect(server.addresses[0]) as channel,
    ):
        for _ in range(10):
            async with channel.stream(IGNORE) as stream:
                for _ in range(2):
                    await stream.send(bytes(30_000))
                async for _ in stream:
                    pass
        assert await channel.call(ECHO, bytes(60_000), deadline=soon()) == bytes(60_000)


async def test_a_message_too_large_for_a_stream_ends_that_stream():
    async def count(context, stream):
        async for message in stream:
            await stream.send(b"%d" % len(message))

    wire = NativeWire()
    async with (
        asyncio.timeout(30),
        wire.serve(
            Routes(streams={ECHO: count}), ["127.0.0.1:0"], max_message_bytes=1000
        ) as server,
        wire.connect(server.addresses[0]) as channel,
        channel.stream(ECHO) as stream,
    ):
        answers = aiter(stream)
        await stream.send(bytes(1000))
        assert await anext(answers) == b"1000"
        await stream.send(bytes(1001))
        with pytest.raises(Overloaded, match="larger than max"):
            await anext(answers)


@pytest.mark.parametrize(("pause", "end"), [(0.01, "broke"), (0, "do nothing")])
async def test_a_server_may_ping_its_clients_for_ever_but_not_all_at_once(pause, end):
    """gRPC's own servers measure the line with pings while data flows."""

    async def ping(reader, writer):
        writer.write(f.settings_frame({}))
        with contextlib.suppress(ConnectionError):
            for _ in range(60):
                writer.write(f.frame(f.PING, 0, 0, b"12345678"))
                await writer.drain()
                await asyncio.sleep(pause)
        writer.close()

    limits = Limits(max_nuisance=20, forgiven_per_second=500, keepalive_seconds=0.02)
    listening = await asyncio.start_server(ping, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with (
        asyncio.timeout(30),
        listening,
        NativeWire(limits).connect(f"127.0.0.1:{port}") as channel,
    ):
        with pytest.raises(PeerLost, match=end):
            await channel.call(ECHO, b"")


async def test_a_client_that_is_silent_is_asked_and_then_ended():
    limits = Limits(silent_seconds=0.2, tend_seconds=0.05)
    with capture_logs() as logs:
        async with attacked(Routes({ECHO: echo}), limits) as attacker:
            assert await attacker.closed()
    assert attacker.pings
    assert logs[0]["reason"] == "silent for too long"


async def test_a_server_that_is_silent_is_asked_and_then_given_up():
    heard, left = bytearray(), asyncio.Event()

    async def say_nothing(reader, writer):
        while data := await reader.read(1 << 16):
            heard.extend(data)
        writer.close()
        await writer.wait_closed()
        left.set()

    listening = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    wire = NativeWire(Limits(keepalive_seconds=0.1))
    async with asyncio.timeout(10), listening, wire.connect(f"127.0.0.1:{port}") as channel:
        with pytest.raises(PeerLost, match="silent"):
            await channel.call(ECHO, b"")
        await left.wait()
    assert f.head(f.PING, 0, 0, 8) in heard


async def test_an_idle_connection_between_us_lives():
    """Each end asks the other, and each answers."""
    limits = Limits(silent_seconds=0.4, tend_seconds=0.02, keepalive_seconds=0.4)
    wire = NativeWire(limits)
    with capture_logs() as logs:
        async with (
            asyncio.timeout(10),
            wire.serve(Routes({ECHO: echo}), ["127.0.0.1:0"]) as server,
            wire.connect(server.addresses[0]) as channel,
        ):
            for _ in range(2):
                assert await channel.call(ECHO, b"hello", deadline=soon()) == b"hello"
                await asyncio.sleep(1.2)  # silent but for keepalive, longer than is borne
    assert not logs


@pytest.mark.parametrize("path", [ECHO, IGNORE], ids=["unary", "stream"])
async def test_who_calls_beside_a_compressed_bomb_is_answered_first(path):
    """Two hundred kilobytes that mean two hundred megabytes are inflated elsewhere."""
    bomb = grpc_messages.compress(bytes(200 << 20))
    async with attacked(Routes({ECHO: echo}, {IGNORE: ignore})) as attacker:
        first, head = attacker.call(path, encoding=b"gzip")
        parts = [bomb[at : at + 60_000] for at in range(0, len(bomb), 60_000)]
        await attacker.send(head, *(f.frame(f.DATA, 0, first, part) for part in parts))
        second, head = attacker.call(ECHO)
        await attacker.send(head, f.frame(f.DATA, 1, second, grpc_messages.frame_message(b"")))
        assert (await attacker.end(second, before=first)).grpc_status == 0
        assert (await attacker.end(first)).grpc_status == 8
