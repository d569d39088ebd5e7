"""What is fuzzed, and what must hold whatever a peer sends."""

import asyncio
import contextlib
import functools
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from shared.errors import NotServed, ServingError
from shared.wire.http2 import frames as f
from shared.wire.http2 import grpc_messages
from shared.wire.http2 import grpc_protocol as grpc
from shared.wire.http2.calls import Calls
from shared.wire.http2.client import ClientConnection, NotTaken
from shared.wire.http2.core import Connection
from shared.wire.http2.headers import HeaderReader, HeaderWriter
from shared.wire.http2.limits import Limits, ProtocolFault
from shared.wire.http2.server import ServerConnection
from shared.wire.interface import Routes
from tests.fuzz.rest import fuzz_rest
from tests.fuzz.tally import Tally
from tests.fuzz.traffic import ECHO, FAIL, IGNORE, SLOW, TALK, Traffic, cut

LIMITS = Limits(
    max_streams=8,
    max_header_bytes=8192,
    frame_bytes=32 << 10,
    stream_window=70_000,
    connection_window=150_000,
    max_settings=8,
    max_nuisance=100,
    max_held_bytes=60_000,
)
MAX_MESSAGE_BYTES = 50_000
_MOST_CALLS = 6
_REQUEST = HeaderWriter().write(((b":method", b"POST"), (b":path", ECHO.encode())))
_FIRST = HeaderWriter().write(((b":status", b"200"),))
_END = HeaderWriter().write(((b"grpc-status", b"0"),))
# What a connection may keep of a peer's bytes, by LIMITS; objects cost more than their bytes.
_MOST_KEPT = 2 * (LIMITS.connection_window + LIMITS.frame_bytes + LIMITS.max_header_bytes) + 20_000


class User:
    """A handler of the core that answers, keeps and resets as it is drawn."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.core: Connection[Any]
        self.events: list[tuple[object, ...]] = []

    def on_headers(self, stream: int, parsed: Any, *, end: bool) -> None:
        self.events.append(("headers", stream, parsed, end))
        self._act(stream)

    def on_data(self, stream: int, data: bytes, *, end: bool) -> None:
        self.events.append(("data", stream, bytes(data), end))
        if self._rng.random() < 0.8:
            self.core.consumed(stream, len(data))
        self._act(stream)

    def on_reset(self, stream: int, code: int) -> None:
        assert not self.core.is_open(stream)
        self.events.append(("reset", stream, code))

    def on_drained(self, stream: int) -> None:
        self.events.append(("drained", stream))

    def on_goaway(self, last_stream: int, code: int) -> None:
        self.events.append(("goaway", last_stream, code))

    def _act(self, stream: int) -> None:
        choice = self._rng.random()
        if choice < 0.3:
            self.core.send_headers(stream, _FIRST)
            self.core.send_data(stream, bytes(self._rng.choice((0, 10, 20_000, 200_000))))
        elif choice < 0.6:
            self.core.send_trailers(stream, _END)
        elif choice < 0.65:
            self.core.reset(stream, f.Code.CANCEL)
        elif choice < 0.66:
            self.core.say_farewell()
        elif choice < 0.67:
            self.core.nuisance.forgive(5)


def _core(rng: random.Random, *, calls: int | None) -> User:
    is_client = calls is not None
    user = User(rng)
    parse: Callable[..., Any] = grpc.read_response if is_client else grpc.read_request
    user.core = Connection(
        user,
        HeaderReader(parse, max_bytes=LIMITS.max_header_bytes),
        is_client=is_client,
        limits=LIMITS,
    )
    for _ in range(calls or 0):
        number = user.core.open_stream(_REQUEST, end=False)
        user.core.send_message(number, grpc_messages.message_prefix(b"hi"), b"hi", end=True)
    return user


def fuzz_core(rng: random.Random, tally: Tally, *, is_client: bool) -> None:
    """Bytes in: nothing worse than ProtocolFault comes out, whatever the cuts between them."""
    calls = rng.randint(1, _MOST_CALLS) if is_client else None
    sent = Traffic(rng, calls=calls).all_bytes()
    seed = rng.getrandbits(32)
    ends = []
    for pieces in ([sent], list(cut(rng, sent))):
        user = _core(random.Random(seed), calls=calls)
        fault = None
        try:
            for piece in pieces:
                user.core.receive(piece)
                if user.core.open_streams > LIMITS.max_streams + _MOST_CALLS:
                    raise AssertionError("too many streams are open")
                _check_kept(user.core)
        except ProtocolFault as stopped:
            fault = (stopped.code, stopped.reason)
        ends.append((user.events, fault, _check_output(user.core, is_client=is_client)))
    if ends[0] != ends[1]:
        raise AssertionError("what happens depends on how bytes are cut")
    tally.connections += 1
    tally.frames += _frames_in(sent)
    tally.faults += ends[0][1] is not None


def _check_kept(core: Connection[Any]) -> None:
    kept = sys.getsizeof(core._buffer) + core._blocks.held
    if kept > LIMITS.frame_bytes + LIMITS.max_header_bytes + 200_000:
        raise AssertionError(f"{kept} bytes of frames are kept")
    if core._incoming.room < 0 or core.nuisance.count > LIMITS.max_nuisance:
        raise AssertionError("a limit was passed")


def _check_output(core: Connection[Any], *, is_client: bool) -> bytes:
    """What goes out is whole frames of sizes that a peer must accept."""
    out = b"".join(bytes(part) for part in core.take_output())
    at = len(f.PREFACE) if is_client else 0
    while at < len(out):
        length, kind, _, _ = f.read_head(out, at)
        if kind > f.CONTINUATION or length > max(core._peer_frame_bytes, f.DEFAULT_FRAME_BYTES):
            raise AssertionError("a frame that no peer would take")
        at += f.HEAD_BYTES + length
    if at != len(out):
        raise AssertionError("half a frame went out")
    return out


def _frames_in(sent: bytes) -> int:
    """As many as their lengths say."""
    at, count = (len(f.PREFACE) if sent.startswith(f.PREFACE) else 0), 0
    while at + f.HEAD_BYTES <= len(sent):
        at += f.HEAD_BYTES + f.read_head(sent, at)[0]
        count += 1
    return count


class Transport(asyncio.Transport):
    """Takes everything; a socket that is never full, or now and then is."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng
        self.protocol: Any = None
        self.closed = False
        self.written = bytearray()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return len(self.written)

    def writelines(self, list_of_data: Any) -> None:
        if self.closed:
            return
        self.written += b"".join(bytes(part) for part in list_of_data)
        if self._rng.random() < 0.05:
            self.protocol.pause_writing()
            self.protocol.resume_writing()

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


async def _echo(context: Any, message: bytes) -> bytes:
    return message


async def _fail(context: Any, message: bytes) -> bytes:
    raise NotServed("no")


async def _slow(context: Any, message: bytes) -> bytes:
    for _ in range(5):
        await asyncio.sleep(0)
    return message * 3


async def _talk(context: Any, stream: Any) -> None:
    async for message in stream:
        await stream.send(message)


async def _ignore(context: Any, stream: Any) -> None:
    async for message in stream:
        await stream.send(message)
        return


_ROUTES = Routes({ECHO: _echo, FAIL: _fail, SLOW: _slow}, {TALK: _talk, IGNORE: _ignore})


async def _feed(rng: random.Random, protocol: Any, sent: bytes) -> Transport:
    transport = Transport(rng)
    transport.protocol = protocol
    protocol.connection_made(transport)
    for piece in cut(rng, sent):
        if transport.closed:
            break
        protocol.data_received(piece)
        if rng.random() < 0.3:
            await asyncio.sleep(0)
        if rng.random() < 0.02 and hasattr(protocol, "tend"):
            protocol.tend()
        if not transport.closed:
            _check_shell(protocol)
    for _ in range(rng.choice((0, 1, 10))):
        await asyncio.sleep(0)
    return transport


def _check_shell(protocol: Any) -> None:
    _check_kept(protocol._core)
    calls = getattr(protocol, "_open", None) or getattr(protocol, "_calls", None) or {}
    if not isinstance(calls, dict):
        return
    kept = 0
    for call in calls.values():
        kept += sum(map(sys.getsizeof, call.reader._parts)) + sys.getsizeof(call.reader._parts)
        if call.stream is not None:
            kept += sum(map(sys.getsizeof, call.stream._chunks))
    if kept > _MOST_KEPT + LIMITS.max_held_bytes + MAX_MESSAGE_BYTES:
        raise AssertionError(f"{kept} bytes are kept for calls")


async def fuzz_server(rng: random.Random, tally: Tally) -> None:
    """A server's connection: nothing escapes, and nothing is left when it is over."""
    sent = Traffic(rng).all_bytes()
    rng = random.Random(rng.getrandbits(64))
    calls = Calls(_ROUTES, max_message_bytes=MAX_MESSAGE_BYTES, max_calls=5)
    connection = ServerConnection(calls, LIMITS)
    transport = await _feed(rng, connection, sent)
    connection.connection_lost(None)
    for _ in range(3):
        if calls.running:
            await asyncio.wait(calls.running, timeout=5)
    if calls.running or calls.connections or calls.held_bytes or connection._open:
        raise AssertionError("something is left of a connection that is gone")
    tally.connections += 1
    tally.frames += _frames_in(sent)
    tally.faults += transport.closed


async def fuzz_client(rng: random.Random, tally: Tally) -> None:
    """A client's connection: every call ends, with an answer or an error of ours."""
    calls = rng.randint(1, _MOST_CALLS)
    sent = Traffic(rng, calls=calls).all_bytes()
    rng = random.Random(rng.getrandbits(64))
    connection = ClientConnection("localhost", LIMITS)
    tasks = [
        asyncio.create_task(_call(connection) if rng.random() < 0.6 else _stream(connection))
        for _ in range(calls)
    ]
    await asyncio.sleep(0)
    transport = await _feed(rng, connection, sent)
    connection.connection_lost(None)
    _, late = await asyncio.wait(tasks, timeout=5)
    if late:
        raise AssertionError("a call of a connection that is gone never ends")
    for task in tasks:
        task.result()
    if connection._calls:
        raise AssertionError("a call is left of a connection that is gone")
    tally.connections += 1
    tally.frames += _frames_in(sent)
    tally.faults += transport.closed


async def _call(connection: ClientConnection) -> None:
    with contextlib.suppress(ServingError, NotTaken):
        await connection.call(ECHO, b"question", None, {"x-raw-bin": b"\0"})


async def _stream(connection: ClientConnection) -> None:
    with contextlib.suppress(ServingError):
        async with connection.stream(TALK) as stream:
            await stream.send(b"hello")
            async for _ in stream:
                pass


Fuzz = Callable[[random.Random, Tally], None]
_IN_A_LOOP = {"server": fuzz_server, "client": fuzz_client, "rest": fuzz_rest}
NAMES = ("core as server", "core as client", *_IN_A_LOOP)


@contextmanager
def target(name: str) -> Iterator[Fuzz]:
    """What is fuzzed under this name, with the event loop that it may need."""
    if name not in _IN_A_LOOP:
        yield functools.partial(fuzz_core, is_client=name.endswith("client"))
        return
    failures: list[Any] = []
    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(lambda _, context: failures.append(context))

        def fuzz(rng: random.Random, tally: Tally) -> None:
            runner.run(_IN_A_LOOP[name](rng, tally))
            if failures:
                context = failures[0]
                failures.clear()
                raise AssertionError(str(context)) from context.get("exception")

        yield fuzz
