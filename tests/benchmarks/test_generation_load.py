"""The load tool: its pure parts, and what it makes of servers that are right and wrong."""

import asyncio
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.generation.load.answer import Answer, Answered
from benchmarks.generation.load.child import summary_of
from benchmarks.generation.load.command import arguments, order_of
from benchmarks.generation.load.events import EventReader
from benchmarks.generation.load.loops import Load
from benchmarks.generation.load.order import Asked, Order, Target, WrongOrder, made_prompts
from benchmarks.generation.load.summary import Quantiles, Summary, table

STREAM = b'data: {"a":1}\n\n: a comment\n\ndata:x\ndata: y\n\nevent: end\ndata: [DONE]\n\n'
EVENTS = [b'{"a":1}', b"x\ny", b"[DONE]"]


@given(st.sampled_from([STREAM, STREAM.replace(b"\n", b"\r\n")]), st.data())
def test_events_are_whole_however_they_are_cut(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=8)))
    reader = EventReader()
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [event for piece in pieces for event in reader.feed(piece)] == EVENTS


def chunk(text: str = "", finish: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "text": text, "finish_reason": finish}
    return b"data: " + orjson.dumps({"choices": [choice], **more}) + b"\n\n"


DONE = b"data: [DONE]\n\n"


def answered(*stream: bytes, asked: Asked | None = None, status: int = 200, **more) -> Answered:
    """Each part comes a second after the one before it."""
    answer = Answer(asked or Asked("p", 3), 10.0, **more)
    answer.status = status
    for second, part in enumerate(stream, 11):
        answer.feed(part, float(second))
    return answer.end(20.0)


def test_times_run_from_the_moment_that_was_meant():
    usage = b'data: {"choices": [], "usage": {"completion_tokens": 7, "prompt_tokens": 4}}\n\n'
    found = answered(chunk("a"), chunk("b"), chunk("c", "length"), usage + DONE)
    assert found.error == ""
    assert (found.first, found.gaps, found.took) == (1.0, (1.0, 1.0), 10.0)
    assert (found.tokens, found.prompt_tokens) == (7, 4)
    assert answered(chunk("a"), chunk("b", "stop"), DONE).tokens == 2


@pytest.mark.parametrize(
    ("stream", "status", "error"),
    [
        ([b"overloaded"], 429, "status 429: overloaded"),
        ([chunk("a"), DONE], 200, "finish_reason: expected stop or length, got ''"),
        ([chunk("a", "stop")], 200, "the stream ended without [DONE]"),
        ([b'data: {"error": {"message": "no"}}\n\n', DONE], 200, 'event: {"message":"no"}'),
        ([b"data: {x\n\n", DONE], 200, "no event of completions: b'{x'"),
        ([b"data: []\n\n", DONE], 200, "no event of completions: b'[]'"),
        ([chunk("a", "stop") + DONE], 200, "it ended before 3 tokens"),
    ],
)
def test_what_is_wrong_with_an_answer_is_said(stream, status, error):
    assert answered(*stream, status=status, must_reach_length=True).error == error


def test_a_text_is_compared_with_the_one_that_was_expected():
    stream = chunk("a"), chunk("b", "length") + DONE
    assert answered(*stream, asked=Asked("p", 2, "ab")).same
    assert not answered(*stream, asked=Asked("p", 2, "abc")).same
    chat = b'data: {"choices": [{"delta": {"content": "ab"}, "finish_reason": "stop"}]}\n\n'
    assert answered(chat, DONE, asked=Asked("p", 2, "ab")).same


def test_a_summary_counts_the_times_of_right_answers_alone():
    good = Answered(0.0, 0.5, 2.5, (1.0, 1.0), 3, 4, "")
    other = Answered(0.0, 0.5, 1.5, (1.0,), 2, 4, "", same=False)
    bad = Answered(0.1, 0.0, 9.0, (), 0, 0, "status 500:")
    found = Summary.of([good, other, bad], 5.0, 3.0)
    assert (found.requests, found.errors, found.others) == (3, 1, 1)
    assert found.tokens_per_second == 1.0
    assert found.took_ms == Quantiles(1500.0, 2500.0, 2500.0, 2500.0)
    assert found.token_ms.most == 1000.0
    assert found.late_ms.most == 100.0
    told = table(found)
    assert "* 1 times: status 500:" in told
    assert "another text" in told
    assert "the generator may be the bottleneck" in told
    described = json.loads(json.dumps(found.described()))
    assert described["tokens_per_second"] == 1.0
    del described["tokens_per_second"], described["requests_per_second"]
    assert summary_of(described) == found


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://host:81/v1/", Target("host", 81, False, "")),
        ("https://host/openai", Target("host", 443, True, "/openai")),
        ("http://host", Target("host", 80, False, "")),
    ],
)
def test_urls_are_read(url, target):
    assert Target.parse(url) == target


@pytest.mark.parametrize("url", ["host:80", "ftp://host", "http://", "http://host:x"])
def test_what_is_no_url_is_refused(url):
    with pytest.raises(WrongOrder, match="url: expected"):
        Target.parse(url)


def order(**changed) -> Order:
    given = {
        "url": "http://127.0.0.1:1/v1", "model": "m", "asked": (Asked("p", 2),), "requests": 8,
        "concurrency": 3, "warm_requests": 1,
    }  # fmt: skip
    return Order(**{**given, **changed})


def test_a_body_is_greedy_and_streams_and_can_be_changed():
    body = json.loads(order(extra={"seed": 3, "stream_options": None}).body(Asked("p", 2)))
    assert body == {
        "model": "m", "prompt": "p", "max_tokens": 2, "temperature": 0.0, "stream": True, "seed": 3,
    }  # fmt: skip
    chat = order(chat=True, url="http://host/x/v1")
    assert json.loads(chat.body(Asked("p", 2)))["messages"] == [{"role": "user", "content": "p"}]
    assert chat.path == "/x/v1/chat/completions"


@pytest.mark.parametrize("wrong", [{"rate": 1.0}, {"concurrency": 0}, {"requests": 0}])
def test_an_order_that_contradicts_itself_is_refused(wrong):
    with pytest.raises(WrongOrder):
        order(**wrong)


def test_arrivals_are_random_and_end():
    open_loop = order(concurrency=0, rate=100.0, requests=5000, seconds=10.0)
    moments = list(open_loop.arrivals())
    assert len(moments) == pytest.approx(1000, rel=0.15)
    assert moments == sorted(moments)
    assert moments[-1] <= 10.0
    assert moments != list(order(concurrency=0, rate=100.0, requests=1000, seed=2).arrivals())


def test_no_prompt_begins_as_another():
    prompts = made_prompts(100, 8, 1)
    assert len({prompt.split()[0] for prompt in prompts}) == 100
    assert prompts == made_prompts(100, 8, 1) != made_prompts(100, 8, 2)


def test_a_command_line_becomes_an_order(tmp_path):
    prompts = tmp_path / "prompts"
    prompts.write_text("one\n\ntwo\n")
    given = arguments(
        ["--url", "http://h:1", "--model", "m", "--rate", "10", "--seconds", "3",
         "--prompts", str(prompts), "--max-tokens", "5"]
    )  # fmt: skip
    found = order_of(given)
    assert found.asked == (Asked("one", 5), Asked("two", 5))
    assert list(found.arrivals())[-1] <= 3.0


class Server:
    """Answers completions with two pieces, or otherwise where the prompt says so.

    From the second one on (the first warms up) not before so many are there at once.
    """

    def __init__(self, waits_for: int = 1) -> None:
        self._waits_for = waits_for
        self._are_there = asyncio.Event()
        self.asked: list[dict] = []
        self.at_once = self.most_at_once = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        body = json.loads(await reader.readexactly(length))
        self.asked.append(body)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self.at_once == self._waits_for:
            self._are_there.set()
        if len(self.asked) > 1:
            async with asyncio.timeout(10):
                await self._are_there.wait()
        if body["prompt"] == "break":
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nda")
        elif body["prompt"] == "busy":
            writer.write(b"HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nbusy")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for part in (chunk("Hel"), chunk("lo", "length"), DONE):
                writer.write(b"%x\r\n%b\r\n" % (len(part), part))
                await writer.drain()
                await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        self.at_once -= 1
        writer.close()
        await writer.wait_closed()


async def loaded(server: Server, **changed) -> list[Answered]:
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        load = Load(order(url=f"http://127.0.0.1:{port}", **changed), {"x-key": "k"})
        await load.warm_up()
        return await load.run()


async def test_a_closed_loop_keeps_so_many_in_flight():
    server = Server(waits_for=3)
    answers = await loaded(server, asked=(Asked("a", 2, "Hello"), Asked("b", 2, "Hell")))
    assert [each.error for each in answers] == [""] * 8
    assert [each.same for each in answers] == [True, False] * 4
    assert len(server.asked) == 9
    assert server.most_at_once == 3


async def test_an_open_loop_sends_at_its_moments_and_tells_every_failure():
    asked = (Asked("a", 2), Asked("break", 2), Asked("busy", 2))
    answers = await loaded(Server(), asked=asked, concurrency=0, rate=500.0, requests=6)
    words = [each.error.partition(":")[0] for each in answers]
    assert words == ["", "BrokenAnswer", "status 503"] * 2
    assert all(each.took >= each.late >= 0 for each in answers)


async def test_a_server_that_is_not_there_is_an_error():
    load = Load(order(warm_requests=0), {})
    assert all("refused" in each.error.lower() or "connect" in each.error.lower()
               for each in await load.run())  # fmt: skip
