import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import machine
from benchmarks.closed_loop import h2load, wrk
from benchmarks.closed_loop.__main__ import Turn, table
from benchmarks.closed_loop.load import Answers, LoadFailed, Target
from benchmarks.layout import Layout
from benchmarks.messages import Call
from benchmarks.processes import ServerDied
from shared.ports import free_port

PRINTED = "traffic: 1KB (1000) total, 1B (1) headers (space savings 0.00%), 900B ({}) data"
BODY = b"a\0c"


def test_an_answer_without_a_message_is_an_error_though_its_status_is_200() -> None:
    log = [f"{1000 * each}\t200\t500" for each in range(10)]
    whole = h2load.read(PRINTED.format(1000), log, 10, 100, elapsed=1.0, own_seconds=0.2)
    assert (whole.errors, whole.p50_ms) == (0, 0.5)
    assert whole.seconds == pytest.approx(0.0095)
    assert h2load.read(PRINTED.format(800), log, 10, 100, elapsed=1.0, own_seconds=0.2).errors == 2


def test_a_failed_status_is_an_error() -> None:
    log = ["0\t200\t500", "0\t503\t500", "0\t-1\t500"]
    assert h2load.read(PRINTED.format(300), log, 3, 100, elapsed=1.0, own_seconds=0.2).errors == 2


def wrk_printed(**changed: object) -> str:
    told = {"sent": 4, "answered": 4, "wrong": 0, "late": 0, "seconds": 0.5, "own_seconds": 0.1,
            "runtime_us": 600_000, "took_us": [[1000, 3], [2000, 1]]}  # fmt: skip
    return f"Running 5m test\nat rest\n{json.dumps({**told, **changed})}\n"


def test_what_wrk_printed_becomes_figures() -> None:
    assert wrk.read(wrk_printed(), 4) == Answers(4, 0, 0.5, 1.0, 2.0, 0.1)


def test_answers_that_are_wrong_late_or_missing_are_errors() -> None:
    assert wrk.read(wrk_printed(wrong=2), 4).errors == 2
    assert wrk.read(wrk_printed(sent=7), 4).errors == 3
    assert wrk.read(wrk_printed(answered=5, sent=5, late=1), 4).errors == 1


@pytest.mark.parametrize("output", ["", "nothing\n", "[]", '{"sent": 4}', "7"])
def test_wrk_without_figures_is_a_failure(output: str) -> None:
    with pytest.raises(LoadFailed, match="no figures"):
        wrk.read(output, 4)


def test_latencies_that_are_not_those_of_the_answers_are_a_failure() -> None:
    with pytest.raises(LoadFailed, match="otherwise than expected"):
        wrk.read(wrk_printed(answered=5), 4)


@given(st.dictionaries(st.integers(1, 900), st.integers(1, 9), min_size=1), st.integers(9, 300))
def test_latencies_that_wrk_added_are_taken_away_again(seen: dict[int, int], interval: int) -> None:
    told = dict(seen)
    for took in range(2 * interval, max(seen) + 1):  # as wrk does: upwards, on what it has so far
        for added in range(took - interval, interval, -interval):
            if told.get(took):
                told[added] = told.get(added, 0) + told[took]
    left = wrk.observed(told, interval)
    assert {took: count for took, count in left.items() if count} == seen


@pytest.fixture(scope="module")
def generators() -> None:
    if absent := machine.missing(*machine.GENERATORS):
        pytest.skip(absent)


def test_a_result_names_the_versions_of_the_generators(generators: None) -> None:
    words = machine.described("h2load", "wrk").split(", ")
    assert [each.partition(".")[0] for each in words[-2:]] == ["h2load 1", "wrk 4"]
    assert "wrk" not in machine.described("h2load")


class Server:
    """Answers over HTTP/1.1 with whatever bytes it is told, and counts what it was asked."""

    def __init__(self, answer: Callable[[int], bytes]) -> None:
        self._answer = answer
        self._listener: asyncio.Server | None = None
        self.seen = 0
        self.port = 0

    def stop(self) -> None:
        """Take no more connections."""
        assert self._listener is not None
        self._listener.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"POST /s:m HTTP/1.1\r\n"), head
                assert b"content-type: text/plain\r\n" in head
                assert await reader.readexactly(len(BODY)) == BODY
                self.seen += 1
                answer = self._answer(self.seen)
                if not answer:
                    break
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._listener = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        async with self._listener:
            yield


def http(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)


def target(port: int, folder: Path, check: Callable[[], None] = lambda: None) -> Target:
    call = Call("/s:m", BODY, lambda answer: True, "text/plain")
    return Target(port, call, 5, Layout(4, 2), folder, check)


@pytest.mark.parametrize("seconds", [0.0, 0.3])
async def test_wrk_waits_for_the_answer_to_every_request(
    generators: None, tmp_path: Path, seconds: float
) -> None:
    server = Server(lambda number: http(b"hello"))
    async with server.running():
        load = wrk.Wrk(target(server.port, tmp_path))
        await asyncio.to_thread(load.warm_up, seconds)
        warmed = server.seen
        answers = await asyncio.to_thread(load.run, seconds)
    assert warmed >= 2 * 8
    assert answers.requests == server.seen - warmed >= 5 * 8
    assert answers.errors == 0
    assert seconds <= answers.seconds < seconds + 5
    assert 0 < answers.own_seconds < answers.seconds + 1
    assert 0 < answers.p50_ms <= answers.p99_ms <= 1e3 * answers.seconds


async def test_wrk_checks_every_answer(generators: None, tmp_path: Path) -> None:
    bad = {0: http(b"hello", b"500 No"), 1: http(b"hell"), 2: http(b"hello!")}
    server = Server(lambda number: bad.get(number % 10, http(b"hello")))
    async with server.running():
        answers = await asyncio.to_thread(wrk.Wrk(target(server.port, tmp_path)).run, 0.2)
    expected = sum(number % 10 in bad for number in range(1, server.seen + 1))
    assert (answers.requests, answers.errors) == (server.seen, expected)


async def test_connections_that_break_are_errors(generators: None, tmp_path: Path) -> None:
    server = Server(lambda number: http(b"hello") if number % 10 else b"")
    async with server.running():
        answers = await asyncio.to_thread(wrk.Wrk(target(server.port, tmp_path)).run, 0.2)
    assert (answers.requests, answers.errors) == (server.seen, server.seen // 10)


async def test_a_server_that_goes_ends_the_load_and_wrk(generators: None, tmp_path: Path) -> None:
    def answer(number: int) -> bytes:
        if number < 20:
            return http(b"hello")
        server.stop()
        return b""

    def check() -> None:
        if server.seen >= 20:
            raise ServerDied

    server = Server(answer)
    async with server.running():
        with pytest.raises(ServerDied):
            await asyncio.to_thread(wrk.Wrk(target(server.port, tmp_path, check)).run, 60)
    assert "wrk" not in [each.name() for each in psutil.Process().children(recursive=True)]


@pytest.mark.parametrize(("port", "words"), [(0, "refused"), (99_999_999, "invalid URL")])
def test_wrk_says_why_it_does_not_start(
    generators: None, tmp_path: Path, port: int, words: str
) -> None:
    with pytest.raises(LoadFailed, match=words):
        wrk.Wrk(target(port or free_port(), tmp_path)).run(1)


async def test_h2load_speaks_http1_too(generators: None, tmp_path: Path) -> None:
    server = Server(lambda number: http(b"hello"))
    async with server.running():
        load = h2load.H2load(target(server.port, tmp_path))
        await asyncio.to_thread(load.warm_up, 0.1)
        warmed = server.seen
        answers = await asyncio.to_thread(load.run, 0.1)
    assert answers.requests == server.seen - warmed >= 5 * 8
    assert answers.errors == 0


def test_a_comparison_of_generators_tells_what_they_take_themselves() -> None:
    turns = [
        Turn("one", 8, "wrk", Answers(100, 1, 2.0, 1.0, 3.0, 0.5), 0.01),
        Turn("one", 8, "wrk", Answers(100, 2, 2.0, 1.0, 3.0, 0.7), 0.03),
        Turn("one", 8, "h2load", Answers(100, 0, 2.0, 1.0, 3.0, 0.5), 0.01),
    ]
    rows = table(turns).splitlines()[2:]
    assert rows[1].startswith("| one | 8 | wrk | 200 (100 to 300) | 50.0 (50.0 to 50.0) |")
    assert rows[1].endswith("| 6,000 (5,000 to 7,000) | 0.300 (0.250 to 0.350) | 3 |")
    assert len(rows) == 2
