import asyncio
import statistics
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import open_tables
from benchmarks.open_loop.__main__ import follow, run
from benchmarks.open_loop.alarm import alarm
from benchmarks.open_loop.http1 import AnswerReader, BadAnswer, HttpAnswer
from benchmarks.open_loop.order import Order
from benchmarks.open_loop.schedule import Outcome, Summary, poisson, resolved
from shared.wire.interface import Routes
from shared.wire.native import NativeWire
from tests.benchmarks.samples import opened, sample


def test_arrivals_are_independent_of_another_and_as_many_as_asked_for() -> None:
    moments = poisson(1000, 20, seed=1)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert len(moments) == pytest.approx(20_000, rel=0.05)
    # Of an exponential distribution, mean and deviation are the same.
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.05)
    assert moments == poisson(1000, 20, seed=1) != poisson(1000, 20, seed=2)
    assert poisson(0.001, 1, seed=1) != []


def test_half_is_half_of_what_the_slowest_does() -> None:
    assert resolved(["half", "100"], [987.0, 4321.0]) == [490.0, 100.0]


def test_what_failed_at_once_makes_no_percentile_better() -> None:
    good = [Outcome(0.001, 0.010, is_right=True)] * 10
    bad = [Outcome(0.002, 0.003, is_right=False)] * 10
    assert Summary.of(good + bad) == Summary(20, 10, 0, 10.0, 10.0, 2.0)
    assert Summary.of(bad).p50_ms == 0.0


LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKS = b"HTTP/1.1 201 X\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n"


@given(st.sampled_from([(LENGTH, 200), (CHUNKS, 201)]), st.data())
def test_an_answer_is_whole_however_it_is_cut(case: tuple[bytes, int], data: st.DataObject) -> None:
    text, status = case
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1), max_size=6)))
    reader = AnswerReader()
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    answers = [reader.feed(piece) for piece in pieces]
    assert answers == [None] * (len(pieces) - 1) + [HttpAnswer(status, b"hello")]
    assert reader.feed(LENGTH) == HttpAnswer(200, b"hello")


@pytest.mark.parametrize("text", [b"x\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 ok\r\n\r\n"])
def test_what_is_no_answer_is_refused(text: bytes) -> None:
    with pytest.raises(BadAnswer):
        AnswerReader().feed(text)


async def test_an_alarm_never_rings_early() -> None:
    with alarm() as clock:
        for wait in (0.0, 0.0003, 0.01):
            until = time.monotonic() + wait
            await clock.sleep_until(until)
            assert time.monotonic() >= until


async def test_latency_counts_from_the_moment_that_was_meant() -> None:
    async def send() -> bool:
        return True

    outcome = await follow(send, time.monotonic() - 5)
    assert outcome.is_right
    assert outcome.took >= outcome.late >= 5


async def test_a_sender_that_fails_is_an_error() -> None:
    async def send() -> bool:
        raise ConnectionResetError

    assert not (await follow(send, time.monotonic())).is_right


def order(port: int, content_type: str, answer_bytes: int) -> Order:
    return Order(port, "/s/m", content_type, answer_bytes, 4, rate=500, seconds=0.2, seed=1)


async def test_every_answer_of_an_http_server_is_checked() -> None:
    seen = 0
    serving = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        serving.append(asyncio.current_task())
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(3) == b"abc"
                seen += 1
                kind = {0: b"500 No", 1: b"200 OK"}.get(seen % 10, b"200 OK")
                body = b"hell" if seen % 10 == 1 else b"hello"
                length = str(len(body)).encode()
                writer.write(b"HTTP/1.1 %b\r\ncontent-length: %b\r\n\r\n%b" % (kind, length, body))
        except asyncio.IncompleteReadError:
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        summary = await run(order(port, "text/plain", 5), b"abc")
        assert seen == summary.requests + summary.warmed
        assert summary.errors == pytest.approx(summary.requests / 5, abs=2)
        await asyncio.gather(*filter(None, serving))


async def test_every_answer_of_a_grpc_server_is_checked() -> None:
    seen = 0

    async def answer(context: object, message: bytes) -> bytes:
        nonlocal seen
        seen += 1
        return b"hello" if seen % 10 else b"hell"

    async with NativeWire().serve(Routes({"/s/m": answer}), ["127.0.0.1:0"]) as server:
        port = int(server.addresses[0].rpartition(":")[2])
        summary = await run(order(port, "application/grpc", 5), b"abc")
    assert seen == summary.requests + summary.warmed
    assert summary.errors == pytest.approx(summary.requests / 10, abs=2)


def test_a_server_that_cannot_keep_up_says_so_in_its_row() -> None:
    closed = [sample(per_second=1000.0), sample(server="two", per_second=60.0)]
    lines = open_tables.table([opened(errors=1), opened(p50_ms=3.0)], closed).splitlines()
    assert lines[2].startswith("| one | 100 | 2.00 (1.00 to 3.00) |")
    assert lines[2].endswith("| 1 |")
    assert lines[3] == "| two | 100 | does at most 60.0 a second | | | | |"
