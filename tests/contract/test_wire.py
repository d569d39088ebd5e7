"""Every implementation of the wire keeps these promises."""

import asyncio
import socket

import grpc
import pytest
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from grpclib.const import Status

from shared.deadline import Deadline
from shared.errors import (
    BY_NAME,
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    NotServed,
    Overloaded,
    PeerLost,
    ServingError,
    StageFailed,
    Unavailable,
)
from shared.wire.exchange import open_exchange
from shared.wire.exchange_server import Incoming, serve_exchange
from shared.wire.grpcio import GrpcioWire
from shared.wire.interface import CallContext, Routes, Stream, Wire
from shared.wire.native import NativeWire
from shared.wire.status import CODES
from tests.support.cluster import until

ECHO = "/test.Service/Echo"
TALK = "/test.Service/Talk"
EXCHANGE = "/test.Service/Exchange"


@pytest.fixture(params=[GrpcioWire, NativeWire], ids=lambda wire: wire.__name__)
def wire(request) -> Wire:
    return request.param()


def soon(seconds: float) -> Deadline:
    return Deadline.after(seconds, now=asyncio.get_running_loop().time())


async def echo(context: CallContext, message: bytes) -> bytes:
    return message


async def test_a_call_is_answered(wire):
    async with (
        wire.serve(Routes({ECHO: echo}), ["127.0.0.1:0"]) as server,
        wire.connect(server.addresses[0]) as channel,
    ):
        assert await channel.call(ECHO, b"hello", deadline=soon(5)) == b"hello"


async def test_a_call_over_a_unix_socket_is_answered(wire, tmp_path):
    address = f"unix:{tmp_path}/socket"
    async with wire.serve(Routes({ECHO: echo}), [address]), wire.connect(address) as channel:
        assert await channel.call(ECHO, b"hello", deadline=soon(5)) == b"hello"


async def test_a_unix_sockets_file_goes_with_its_server_and_no_other_takes_it(tmp_path):
    path = tmp_path / "socket"
    address, routes, wire = f"unix:{path}", Routes({ECHO: echo}), NativeWire()
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(path))
    async with wire.serve(routes, [address]), wire.connect(address) as channel:
        with pytest.raises(OSError, match="cannot listen on unix:"):
            async with wire.serve(routes, [address]):
                pass
        assert await channel.call(ECHO, b"hello", deadline=soon(5)) == b"hello"
    assert not path.exists()
    path.write_text("no socket")
    with pytest.raises(OSError, match="cannot listen on unix:"):
        async with wire.serve(routes, [address]):
            pass
    assert path.read_text() == "no socket"


@pytest.mark.parametrize("failure", [InvalidRequest, NotServed, Overloaded, StageFailed])
async def test_the_caller_gets_the_error_that_the_handler_raised(wire, failure):
    async def fail(context: CallContext, message: bytes) -> bytes:
        raise failure("the reason")

    async with (
        wire.serve(Routes({ECHO: fail}), ["127.0.0.1:0"]) as server,
        wire.connect(server.addresses[0]) as channel,
    ):
        with pytest.raises(failure, match="the reason") as caught:
            await channel.call(ECHO, b"", deadline=soon(5))
        assert type(caught.value) is failure


async def test_metadata_travels_as_text_and_as_bytes(wire):
    seen: list[CallContext] = []

    async def note(context: CallContext, message: bytes) -> bytes:
        seen.append(context)
        return message

    sent = {"x-request-id": "42", "x-raw-bin": bytes(range(256)), "x-none-bin": b""}
    async with (
        wire.serve(Routes({ECHO: note}), ["127.0.0.1:0"]) as server,
        wire.connect(server.addresses[0]) as channel,
    ):
        await channel.call(ECHO, b"", deadline=soon(5), metadata=sent)
        await channel.call(ECHO, b"", deadline=soon(5))
    assert seen[0].metadata["x-request-id"] == "42"
    assert seen[0].binary_metadata == {"x-raw-bin": bytes(range(256)), "x-none-bin": b""}
    assert "x-request-id" not in seen[1].metadata
    assert not seen[1].binary_metadata


async def test_an_error_says_its_name_also_in_the_status_details_of_every_grpc_library(wire):
    async def fail(context: CallContext, message: bytes) -> bytes:
        raise Overloaded("the réason")

    async with (
        wire.serve(Routes({ECHO: fail}), ["127.0.0.1:0"]) as server,
        grpc.aio.insecure_channel(server.addresses[0]) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await channel.unary_unary(ECHO)(b"", timeout=5)
    trailers = dict(failed.value.trailing_metadata())
    status = google_rpc("Status").FromString(trailers["grpc-status-details-bin"])
    assert (status.code, status.message) == (8, "the réason")
    reason = google_rpc("ErrorInfo").FromString(status.details[0].value)
    assert status.details[0].type_url == "type.googleapis.com/google.rpc.ErrorInfo"
    assert (reason.reason, reason.domain) == ("Overloaded", "mindserve")


def google_rpc(name: str):
    """``google.rpc.Status`` or ``ErrorInfo``, as published."""
    fields = {
        "Status": [("code", 1, "INT32"), ("message", 2, "STRING"), ("details", 3, "MESSAGE")],
        "ErrorInfo": [("reason", 1, "STRING"), ("domain", 2, "STRING")],
    }
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="rpc.proto", package="google.rpc", dependency=["google/protobuf/any.proto"]
    )
    for message, entries in fields.items():
        described = file.message_type.add(name=message)
        for key, number, kind in entries:
            field = described.field.add(
                name=key, number=number, type=kinds.Type.Value(f"TYPE_{kind}")
            )
            field.label = kinds.LABEL_OPTIONAL
            if kind == "MESSAGE":
                field.type_name, field.label = ".google.protobuf.Any", kinds.LABEL_REPEATED
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(any_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"google.rpc.{name}"))


async def test_an_error_that_repeats_a_long_text_still_reaches_its_caller(wire):
    async def fail(context: CallContext, message: bytes) -> bytes:
        raise NotServed("no servable " + message.decode())

    async with (
        wire.serve(Routes({ECHO: fail}), ["127.0.0.1:0"]) as server,
        wire.connect(server.addresses[0]) as channel,
    ):
        with pytest.raises(NotServed, match="no servable xxx") as caught:
            await channel.call(ECHO, b"x" * 100_000, deadline=soon(5))
        assert len(caught.value.message) < 2000


async def test_the_text_of_an_unforeseen_exception_stays_at_home(wire):
    async def fail(context: CallContext, message: bytes) -> bytes:
        raise RuntimeError("/secret/path")

    async with (
        wire.serve(Routes({ECHO: fail}), ["127.0.0.1:0"]) as server,
        wire.connect(server.addresses[0]) as channel,
    ):
        with pytest.raises(InternalError) as caught:
            await channel.call(ECHO, b"", deadline=soon(5))
        assert "secret" not in str(caught.value)


async def test_the_handler_knows_the_deadline_and_the_caller_sees_it_pass(wire):
    seen: list[Deadline | None] = []
    cancelled = asyncio.Event()

    async def hang(context: CallContext, message: bytes) -> bytes:
        seen.append(context.deadline)
        try:
            return await asyncio.Future()
        finally:
            cancelled.set()

    async with (
        wire.serve(Routes({ECHO: hang}), ["127.0.0.1:0"]) as server,
        wire.connect(server.addresses[0]) as channel,
    ):
        with pytest.raises(DeadlineExceeded):
            await channel.call(ECHO, b"", deadline=soon(0.3))
        async with asyncio.timeout(5):
            await cancelled.wait()
    assert seen[0] is not None


async def test_a_handler_is_cancelled_when_its_caller_leaves(wire):
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(context: CallContext, message: bytes) -> bytes:
        started.set()
        try:
            return await asyncio.Future()
        finally:
            cancelled.set()

    async with (
        wire.serve(Routes({ECHO: hang}), ["127.0.0.1:0"]) as server,
        wire.connect(server.addresses[0]) as channel,
        asyncio.timeout(10),
    ):
        call = asyncio.create_task(channel.call(ECHO, b""))
        await started.wait()
        call.cancel()
        await cancelled.wait()


async def test_a_message_over_the_limit_is_refused(wire):
    routes = Routes({ECHO: echo})
    async with (
        wire.serve(routes, ["127.0.0.1:0"], max_message_bytes=1 << 20) as server,
        wire.connect(server.addresses[0]) as channel,
    ):
        with pytest.raises(Overloaded, match="larger than max"):
            await channel.call(ECHO, bytes(2 << 20), deadline=soon(5))


async def test_an_address_in_use_is_named(wire):
    async with wire.serve(Routes(), ["127.0.0.1:0"]) as server:
        with pytest.raises(OSError, match=server.addresses[0]):
            async with wire.serve(Routes(), [server.addresses[0]]):
                pass


async def test_a_stream_carries_messages_both_ways(wire):
    async def talk(context: CallContext, stream: Stream) -> None:
        async for message in stream:
            await stream.send(message.upper())

    async with (
        wire.serve(Routes(streams={TALK: talk}), ["127.0.0.1:0"]) as server,
        wire.connect(server.addresses[0]) as channel,
        channel.stream(TALK) as stream,
        asyncio.timeout(10),
    ):
        answers = aiter(stream)
        for word in (b"one", b"two"):
            await stream.send(word)
            assert await anext(answers) == word.upper()


async def test_what_is_sent_soon_keeps_its_order(wire):
    async def tell(context: CallContext, stream: Stream) -> None:
        for message, soon in ((b"one", True), (b"two", True), (b"three", False), (b"four", True)):
            await stream.send(message, soon=soon)

    async with (
        wire.serve(Routes(streams={TALK: tell}), ["127.0.0.1:0"]) as server,
        wire.connect(server.addresses[0]) as channel,
        channel.stream(TALK) as stream,
        asyncio.timeout(10),
    ):
        assert [each async for each in stream] == [b"one", b"two", b"three", b"four"]


async def test_a_stream_ends_at_its_deadline_after_what_came_before(wire):
    cancelled = asyncio.Event()

    async def hang(context: CallContext, stream: Stream) -> None:
        try:
            await stream.send(b"first")
            await asyncio.Future()
        finally:
            cancelled.set()

    came = []
    async with (
        wire.serve(Routes(streams={TALK: hang}), ["127.0.0.1:0"]) as server,
        wire.connect(server.addresses[0]) as channel,
    ):
        with pytest.raises(DeadlineExceeded):
            async with channel.stream(TALK, deadline=soon(0.5)) as stream:
                async for message in stream:
                    came.append(message)  # noqa: PERF401 (what came before the error counts)
        async with asyncio.timeout(5):
            await cancelled.wait()
    assert came == [b"first"]


async def test_a_stream_that_is_heard_gives_its_messages_in_their_order(wire):
    sent = [b"one", b"two", b"3" * 200_000, b"", b"five", b"end"]
    began, goes_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    heard: list[bytes] = []

    def take(message: bytes) -> None:
        heard.append(message)
        if message == b"end":
            ended.set()

    async def listen(context: CallContext, stream: Stream) -> None:
        began.set()
        await goes_on.wait()
        await stream.hear(take)

    async with (
        wire.serve(Routes(streams={TALK: listen}), ["127.0.0.1:0"]) as server,
        wire.connect(server.addresses[0]) as channel,
        channel.stream(TALK) as stream,
        asyncio.timeout(10),
    ):
        # Some come before anybody listens, the others to somebody who does.
        await stream.send(*sent[:2])
        await began.wait()
        goes_on.set()
        for message in sent[2:]:
            await stream.send(message)
        await ended.wait()
    assert heard == sent


async def test_what_a_hearer_raises_ends_its_stream_and_no_other(wire):
    listening = asyncio.Event()

    def take(message: bytes) -> None:
        if message != b"good":
            raise InvalidRequest(f"not {message.decode()}")
        listening.set()

    async def listen(context: CallContext, stream: Stream) -> None:
        await stream.hear(take)

    routes = Routes({ECHO: echo}, {TALK: listen})
    async with (
        wire.serve(routes, ["127.0.0.1:0"]) as server,
        wire.connect(server.addresses[0]) as channel,
        asyncio.timeout(10),
    ):
        async with channel.stream(TALK) as stream:
            await stream.send(b"good")
            await listening.wait()
            await stream.send(b"this")
            with pytest.raises(InvalidRequest, match="not this"):
                await anext(aiter(stream))
        assert await channel.call(ECHO, b"hello", deadline=soon(5)) == b"hello"


async def test_compressed_messages_are_heard_in_their_order_too(wire):
    sent = [b"small", b"large" * 1_000_000, b"small again", b"end"]
    heard: list[bytes] = []
    ended = asyncio.Event()

    def take(message: bytes) -> None:
        heard.append(message)
        if message == b"end":
            ended.set()

    async def listen(context: CallContext, stream: Stream) -> None:
        await stream.hear(take)

    async with (
        wire.serve(Routes(streams={TALK: listen}), ["127.0.0.1:0"]) as server,
        grpc.aio.insecure_channel(
            server.addresses[0], compression=grpc.Compression.Gzip
        ) as channel,
        asyncio.timeout(10),
    ):
        call = channel.stream_stream(TALK)()
        for message in sent:
            await call.write(message)
        await ended.wait()
        call.cancel()
    assert heard == sent


async def test_a_stream_to_nobody_is_an_error(wire):
    async with wire.serve(Routes(), ["127.0.0.1:0"]) as server:
        address = server.addresses[0]
    async with wire.connect(address) as channel:
        with pytest.raises(ServingError):
            async with channel.stream(TALK) as stream:
                async for _ in stream:
                    pass


async def exchanging(wire: Wire, handler, max_served: int = 100) -> tuple[Routes, None]:
    async def serve(context: CallContext, stream: Stream) -> None:
        await serve_exchange(stream, handler, max_outstanding=max_served)

    return Routes(streams={EXCHANGE: serve}), None


async def test_small_and_large_payloads_share_one_exchange(wire):
    async def reverse(incoming: Incoming) -> bytes:
        return incoming.head + incoming.payload[::-1]

    sizes = (0, 10, (32 << 10) - 1, 32 << 10, 3 << 20, 1, 100_000)
    payloads = [bytes([n]) + b"x" * size for n, size in enumerate(sizes * 3)]
    routes, _ = await exchanging(wire, reverse)
    async with (
        wire.serve(routes, ["127.0.0.1:0"]) as server,
        wire.connect(server.addresses[0]) as channel,
        open_exchange(channel, EXCHANGE, peer="the peer", max_outstanding=100) as exchange,
        asyncio.timeout(20),
    ):
        answers = await asyncio.gather(*(exchange.call(each, head=b"head") for each in payloads))
    assert answers == [b"head" + each[::-1] for each in payloads]


async def test_many_calls_share_one_exchange(wire):
    async def double(incoming: Incoming) -> bytes:
        return incoming.payload * 2

    routes, _ = await exchanging(wire, double, max_served=1000)
    async with (
        wire.serve(routes, ["127.0.0.1:0"]) as server,
        wire.connect(server.addresses[0]) as channel,
        open_exchange(channel, EXCHANGE, peer="the peer", max_outstanding=1000) as exchange,
        asyncio.timeout(10),
    ):
        payloads = [str(n).encode() for n in range(500)]
        answers = await asyncio.gather(*(exchange.call(payload) for payload in payloads))
        assert answers == [payload * 2 for payload in payloads]
        assert exchange.outstanding == 0


async def test_an_exchanged_call_that_fails_fails_alone(wire):
    async def picky(incoming: Incoming) -> bytes:
        if incoming.payload == b"bad":
            raise StageFailed("bad input")
        return incoming.payload

    routes, _ = await exchanging(wire, picky)
    async with (
        wire.serve(routes, ["127.0.0.1:0"]) as server,
        wire.connect(server.addresses[0]) as channel,
        open_exchange(channel, EXCHANGE, peer="the peer", max_outstanding=10) as exchange,
        asyncio.timeout(10),
    ):
        good, bad = await asyncio.gather(
            exchange.call(b"good"), exchange.call(b"bad"), return_exceptions=True
        )
        assert good == b"good"
        assert isinstance(bad, StageFailed)


async def test_an_exchanged_call_ends_at_its_deadline_and_is_cancelled_over_there(wire):
    cancelled = asyncio.Event()

    async def hang(incoming: Incoming) -> bytes:
        if incoming.deadline is None:
            return b"no deadline"
        try:
            return await asyncio.Future()
        finally:
            cancelled.set()

    routes, _ = await exchanging(wire, hang)
    async with (
        wire.serve(routes, ["127.0.0.1:0"]) as server,
        wire.connect(server.addresses[0]) as channel,
        open_exchange(channel, EXCHANGE, peer="the peer", max_outstanding=10) as exchange,
        asyncio.timeout(10),
    ):
        with pytest.raises(DeadlineExceeded):
            await exchange.call(b"", deadline=soon(0.2))
        await cancelled.wait()
        assert await exchange.call(b"") == b"no deadline"


async def test_a_caller_that_leaves_an_exchange_is_cancelled_over_there_alone(wire):
    started, cancelled, release = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def wait(incoming: Incoming) -> bytes:
        if incoming.payload == b"leaver":
            started.set()
        try:
            await release.wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return incoming.payload

    routes, _ = await exchanging(wire, wait)
    async with (
        wire.serve(routes, ["127.0.0.1:0"]) as server,
        wire.connect(server.addresses[0]) as channel,
        open_exchange(channel, EXCHANGE, peer="the peer", max_outstanding=10) as exchange,
        asyncio.timeout(10),
    ):
        leaver = asyncio.create_task(exchange.call(b"leaver"))
        neighbour = asyncio.create_task(exchange.call(b"neighbour"))
        await started.wait()
        leaver.cancel()
        await cancelled.wait()
        release.set()
        assert await neighbour == b"neighbour"


async def test_both_ends_of_an_exchange_are_bounded(wire):
    async def hang(incoming: Incoming) -> bytes:
        return await asyncio.Future()

    routes, _ = await exchanging(wire, hang, max_served=1)
    async with (
        wire.serve(routes, ["127.0.0.1:0"]) as server,
        wire.connect(server.addresses[0]) as channel,
        open_exchange(channel, EXCHANGE, peer="the peer", max_outstanding=2) as exchange,
        asyncio.timeout(10),
    ):
        first = asyncio.create_task(exchange.call(b"1"))
        await until(lambda: exchange.outstanding, what="the first call to be under way")
        with pytest.raises(Overloaded):
            await exchange.call(b"2")
        second = asyncio.create_task(exchange.call(b"3", deadline=soon(5)))
        third = asyncio.create_task(exchange.call(b"4", deadline=soon(5)))
        done, _ = await asyncio.wait([second, third], return_when=asyncio.FIRST_COMPLETED)
        assert isinstance(done.pop().exception(), Overloaded)
        for task in (first, second, third):
            task.cancel()
        await asyncio.gather(first, second, third, return_exceptions=True)


async def test_a_broken_exchange_fails_what_was_in_the_peers_hands(wire):
    started = asyncio.Event()

    async def hang(incoming: Incoming) -> bytes:
        started.set()
        return await asyncio.Future()

    routes, _ = await exchanging(wire, hang)
    async with wire.serve(routes, ["127.0.0.1:0"]) as server:
        calls: list[asyncio.Task[bytes]] = []
        with pytest.raises(ServingError):
            async with (
                asyncio.timeout(10),
                wire.connect(server.addresses[0]) as channel,
                open_exchange(channel, EXCHANGE, peer="the peer", max_outstanding=9) as exchange,
            ):
                calls.append(asyncio.create_task(exchange.call(b"")))
                await started.wait()
                await server.close(0)
                await asyncio.Future()
        with pytest.raises(PeerLost):
            await calls[0]
        with pytest.raises(Unavailable):
            await exchange.call(b"")


def test_every_error_has_a_status():
    assert set(CODES) == set(BY_NAME.values())
    assert Status.OK not in CODES.values()
