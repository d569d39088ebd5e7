"""Sixteen streams of every dialect whose agent is killed, and none that comes in its place."""

import asyncio

import openai
import orjson
import pytest

from shared.ports import free_port
from tests.contract.test_text_door import events_of, read_chunk, read_head
from tests.support.cluster import Cluster, until
from tests.support.http1 import Http, ask
from tests.support.texts import SLOTS, add_language_model, plainly

pytestmark = pytest.mark.timeout(180)

WHY = "servable 'tiny' version 1"
TGI = {"parameters": {"max_new_tokens": 90}}
ASKED = [
    ("/v1/completions", {"prompt": "Hello"}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
    ("/generate_stream", {"inputs": "Hello"} | TGI),
    ("/models/tiny/generate_stream", {"inputs": "Hello"} | TGI),
]
assert len(ASKED) == SLOTS


class Stream:
    """One that is read as it comes."""

    def __init__(self, http: Http, path: str) -> None:
        self.http = http
        self.path = path
        self.content = b""

    async def begin(self) -> "Stream":
        """Up to its first event, or to the refusal."""
        self.head = await read_head(self.http)
        if self.head["status"] == "200":
            self.content = await read_chunk(self.http)
        return self

    async def end(self) -> None:
        if self.head["status"] != "200":
            size = int(self.head["content-length"])
            self.content = await self.http.reader.readexactly(size)
            return
        while chunk := await read_chunk(self.http):
            self.content += chunk

    @property
    def error(self) -> str:
        """What its last event says, or its body."""
        events = [self.content]
        if self.head["status"] == "200":
            events = events_of(self.content)
            if self.path.startswith("/v1"):
                assert events.pop() == b"[DONE]"
        error = orjson.loads(events[-1])["error"]
        return error if isinstance(error, str) else error["message"]


async def asked(rest: str, number: int) -> Stream:
    path, body = ASKED[number % len(ASKED)]
    body |= {"model": "tiny", "max_tokens": 90, "temperature": 0, "stream": True}
    http = await Http.connect(rest)
    http.write("POST", path, orjson.dumps(body))
    return Stream(http, path)


async def test_each_stream_ends_with_a_named_error_and_new_requests_work_with_a_new_agent(tmp_path):
    rest = f"127.0.0.1:{free_port()}"
    async with Cluster(tmp_path) as cluster:
        add_language_model(cluster.servables, latency_seconds=0.02, patience_seconds=1.0)
        cluster.start_master("--rest-address", rest, "--text-model", "tiny")
        worker = cluster.start_worker()
        cluster.start_agent("agent", worker)
        await cluster.ready("tiny")
        running = [await (await asked(rest, number)).begin() for number in range(SLOTS)]
        waiting = [await asked(rest, number) for number in range(SLOTS, 16)]
        name = "mindserve_worker_generation_waiting servable=tiny version=1"
        await until(
            lambda: cluster.metrics_of("worker")[name] == 16 - SLOTS, what="twelve that wait"
        )
        process = cluster.processes["agent"]
        process.kill()
        await asyncio.to_thread(process.wait)
        await asyncio.gather(*(each.end() for each in running))
        await asyncio.gather(*(each.begin() for each in waiting))
        await asyncio.gather(*(each.end() for each in waiting))
        assert [each.head["status"] for each in running] == ["200"] * SLOTS
        assert [each.head["status"] for each in waiting] == ["502"] * (16 - SLOTS)
        for each in [*running, *waiting]:
            assert WHY in each.error, each.path
            each.http.hang_up()
        # Nobody waits for what is not there.
        body = {"model": "tiny", "prompt": "Hello", "max_tokens": 12, "temperature": 0}
        refused = await ask(rest, "POST", "/v1/completions", body)
        assert refused.status == 503
        assert refused.headers["retry-after"]
        cluster.start_agent("another", worker)
        await cluster.ready("tiny")
        with openai.OpenAI(base_url=f"http://{rest}/v1", api_key="unused", max_retries=9) as client:
            answer = await asyncio.to_thread(client.completions.create, **body)
        expected = plainly(b"Hello", 12)
        text = bytes(each for each in expected if each < 256).decode(errors="replace")
        assert answer.choices[0].text == text
