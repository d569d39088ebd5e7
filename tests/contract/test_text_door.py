"""The doors of language models, before a worker that says what a test gives it: bytes, statuses,
who is asked, and who leaves."""

import asyncio
import dataclasses
from contextlib import asynccontextmanager

import grpc
import orjson
import pytest

import mindspore_serving
from protos.serving.v1 import text_generation_pb2 as pb
from services.master.app import open_master
from services.master.settings import MasterSettings
from shared.errors import (
    AgentLost,
    Draining,
    ExecutionFailed,
    InvalidRequest,
    Overloaded,
)
from shared.membership import Offer, Offers
from shared.ports import free_port
from shared.servable import ServableVersion
from tests.support.cluster import until
from tests.support.http1 import Http, ask
from tests.support.language_worker import LANGUAGE, LanguageWorker, language_offers
from tests.support.texts import asked, texts_at


@asynccontextmanager
async def a_master(**settings):
    chosen = MasterSettings(
        **{
            "listen": "127.0.0.1:0", "membership_address": "127.0.0.1:0",
            "rest_address": "127.0.0.1:0",
        } | settings
    )  # fmt: skip
    async with asyncio.timeout(60), open_master(chosen) as opened:
        yield opened


async def models_of(master):
    answer = await ask(master.rest_address, "GET", "/v1/models")
    return [each["id"] for each in answer.json["data"]]


@asynccontextmanager
async def serving(*, settings=None, **worker):
    """A master and a worker of it that is known."""
    async with a_master(**settings or {}) as master:
        async with LanguageWorker(master, **worker).joined() as joined:

            async def is_known():
                return (await ask(master.rest_address, "GET", "/health")).status == 200

            await until(is_known, what="the worker to be known")
            yield master, joined


async def stream(address, path, body, **headers):
    """The status, headers and bytes of an answer that comes in chunks."""
    http = await Http.connect(address)
    try:
        http.write("POST", path, orjson.dumps(body), **headers)
        head, content = await read_head(http), b""
        assert head["transfer-encoding"] == "chunked", head
        while chunk := await read_chunk(http):
            content += chunk
        return head, content
    finally:
        http.hang_up()


async def read_head(http):
    lines = (await http.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    head = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines[1:])}
    return head | {"status": lines[0].split()[1]}


async def read_chunk(http):
    size = int(await http.reader.readuntil(b"\r\n"), 16)
    chunk = await http.reader.readexactly(size)
    assert await http.reader.readexactly(2) == b"\r\n"
    return chunk


def events_of(content):
    assert content.endswith(b"\n\n")
    lines = content[:-2].split(b"\n\n")
    assert all(line.startswith(b"data: ") and b"\n" not in line for line in lines)
    return [line[6:] for line in lines]


ASK = {"model": "tiny", "prompt": "Say: ", "max_tokens": 6}


async def test_a_completion_streams_byte_for_byte_as_the_dialect_says():
    async with serving(text="Hi") as (master, _):
        body = ASK | {"stream": True, "stream_options": {"include_usage": True}}
        head, content = await stream(master.rest_address, "/v1/completions", body, x_request_id="7")
    assert head["content-type"] == "text/event-stream; charset=utf-8"
    assert head["x-request-id"] == "7"
    created = orjson.loads(events_of(content)[0])["created"]
    start = (
        b'data: {"id":"cmpl-7","object":"text_completion","created":%d,"model":"tiny",'
        b'"system_fingerprint":"mindserve","choices":[' % created
    )
    assert content == (
        start + b'{"index":0,"text":"H","logprobs":null,"finish_reason":null}],"usage":null}\n\n'
        + start + b'{"index":0,"text":"i","logprobs":null,"finish_reason":"stop"}],"usage":null}'
        b"\n\n" + start + b'],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7,'
        b'"prompt_tokens_details":{"cached_tokens":2}}}\n\n'
        b"data: [DONE]\n\n"
    )  # fmt: skip


async def test_tgi_streams_an_event_for_each_token_and_no_done():
    async with serving(text="Hi") as (master, worker):
        asked = {"inputs": "Say: ", "parameters": {"seed": 3, "details": True}}
        _, content = await stream(master.rest_address, "/generate_stream", asked)
        whole = await ask(master.rest_address, "POST", "/generate", asked)
        (listed,) = (await ask(master.rest_address, "POST", "/", asked)).json
    first, last = events_of(content)
    assert first == (
        b'{"index":1,"token":{"id":72,"text":"H","logprob":-0.5,"special":false},'
        b'"generated_text":null,"details":null}'
    )
    assert orjson.loads(last) == {
        "index": 2,
        "token": {"id": 105, "text": "i", "logprob": -0.5, "special": False},
        "generated_text": "Hi",
        "details": {
            "finish_reason": "eos_token", "generated_tokens": 2, "seed": 3, "input_length": 5,
        },
    }  # fmt: skip
    assert whole.json == listed
    assert whole.json["generated_text"] == "Hi"
    assert whole.headers["x-prompt-tokens"] == "5"
    assert whole.headers["x-generated-tokens"] == "2"
    assert {"x-compute-type", "x-compute-time", "x-compute-characters", "x-total-time",
            "x-validation-time", "x-queue-time", "x-inference-time",
            "x-time-per-token"} <= whole.headers.keys()  # fmt: skip
    assert worker.asked[0].sampling.temperature == 0.0


async def test_the_originals_streams_are_valid_events():
    async with serving(text="Hi") as (master, worker):
        address = master.rest_address
        asked = {"inputs": "Say: ", "parameters": {"do_sample": "False", "return_full_text": True}}
        _, content = await stream(address, "/models/tiny/generate_stream", asked)
        plain = {"inputs": "Say: ", "parameters": {"return_protocol": "plain"}, "stream": "True"}
        _, lines = await stream(address, "/models/tiny", plain)
        whole = await ask(address, "POST", "/models/tiny/generate", asked)
        nothing = await ask(address, "POST", "/models/llama2/generate", asked)
    first, _, last = map(orjson.loads, events_of(content))
    token = {"id": 72, "logprob": -0.5, "special": False, "text": "H"}
    told = {"details": None, "generated_text": "H", "tokens": token, "top_tokens": [token]}
    said = {"token": {"text": "H", "index": 1}}
    assert first == {"event": "message", "retry": 30000, "data": [told]} | said
    assert last["generated_text"] == "Hi"
    assert "token" not in last
    assert last["data"][0]["generated_text"] == "Hi"
    assert len(last["data"][0]["tokens"]) == 2
    assert orjson.loads(events_of(lines)[0]) == told | said
    assert whole.json["generated_text"] == "Hi"
    assert (whole.json["finish_reason"], whole.json["generated_tokens"]) == ("eos", 2)
    assert nothing.status == 404
    assert "'llama2' does not exist" in nothing.json["error"]
    assert worker.asked[0].sampling.temperature == 0.0


async def test_serving_pages_are_streams_of_one_event():
    async with serving() as (master, _):
        for name, content in (
            ("get_bs", {"event": "message", "retry": 30000, "data": 4}),
            ("get_request_numbers", {"event": "message", "retry": 30000, "data": 0}),
        ):
            http = await Http.connect(master.rest_address)
            http.write("GET", f"/serving/{name}")
            assert (await read_head(http))["content-type"].startswith("text/event-stream")
            (event,) = events_of(await read_chunk(http))
            assert orjson.loads(event) == content
            http.hang_up()
        nothing = await ask(master.rest_address, "GET", "/serving/nothing")
        assert nothing.status == 404


async def test_pages_tell_of_models_and_their_adapters():
    async with serving() as (master, _):
        address = master.rest_address
        models = (await ask(address, "GET", "/v1/models")).json["data"]
        assert [(each["id"], each["parent"], each["max_model_len"]) for each in models] == [
            ("tiny", None, 128), ("tuned", "tiny", 128),
        ]  # fmt: skip
        assert (await ask(address, "GET", "/v1/models/tuned")).json == models[1]
        missing = await ask(address, "GET", "/v1/models/none")
        assert (missing.status, missing.json["error"]["code"]) == (404, "model_not_found")
        info = (await ask(address, "GET", "/info")).json
        assert (info["model_id"], info["max_total_tokens"]) == ("tiny", 128)
        assert (await ask(address, "GET", "/load")).json == {"server_load": 0}
        version = mindspore_serving.__version__
        assert (await ask(address, "GET", "/version")).json == {"version": version}
        for path in ("/health", "/ping", "/"):
            answer = await ask(address, "GET", path)
            assert (answer.status, answer.body) == (200, b"")
        assert (await ask(address, "POST", "/health")).status == 405
        # What was there before is there still.
        assert (await ask(address, "GET", "/healthz")).json == {"status": "live"}


async def test_health_is_503_while_nobody_serves_a_language_model():
    async with a_master() as master:
        answer = await ask(master.rest_address, "GET", "/health")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def test_tokenize_knows_vllms_bodies_from_tgis():
    async with serving() as (master, worker):
        address = master.rest_address
        ask_tokens = {"prompt": "ab", "return_token_strs": True, "add_special_tokens": False}
        answer = await ask(address, "POST", "/tokenize", ask_tokens)
        assert answer.json == {
            "count": 2, "max_model_len": 128, "tokens": [97, 98], "token_strs": ["a", "b"],
        }  # fmt: skip
        assert worker.asked[-1].add_special_tokens is False
        answer = await ask(address, "POST", "/tokenize", {"inputs": "a"})
        assert answer.json == [{"id": 97, "text": "a", "start": 0, "stop": 1}]
        chat = {"model": "tiny", "messages": [{"role": "user", "content": "a"}]}
        assert (await ask(address, "POST", "/tokenize", chat)).json["count"] == len("user: a\n")
        answer = await ask(address, "POST", "/detokenize", {"model": "tiny", "tokens": [97, 98]})
        assert answer.json == {"prompt": "ab"}
        assert (await ask(address, "POST", "/tokenize", {"model": "tiny"})).status == 400


async def test_prompts_of_every_form_are_answered_in_order():
    async with serving(text="Hi") as (master, worker):
        forms = ("Say: ", ["a", "b"], [97, 98], [[97], [98, 99]])
        for prompt, count in zip(forms, (1, 2, 1, 2), strict=True):
            body = {"model": "tiny", "prompt": prompt, "n": 2}
            answer = (await ask(master.rest_address, "POST", "/v1/completions", body)).json
            assert [each["index"] for each in answer["choices"]] == list(range(2 * count))
            assert answer["usage"]["completion_tokens"] == 4 * count
        assert {each.prompt for each in worker.asked} >= {"Say: ", "a", "b", (97, 98), (98, 99)}
        assert all(each.sampling.seed is not None for each in worker.asked)


async def test_echo_and_logprobs_tell_of_the_prompt_too():
    async with serving(text="Hi") as (master, worker):
        body = {"prompt": "ab", "echo": True, "logprobs": 1, "max_tokens": 0}
        answer = await ask(master.rest_address, "POST", "/v1/completions", body)
        (choice,) = answer.json["choices"]
        assert (choice["text"], choice["finish_reason"]) == ("ab", "length")
        assert choice["logprobs"] == {
            "tokens": ["a", "b"], "token_logprobs": [None, -0.5],
            "top_logprobs": [None, {"b": -0.5}], "text_offset": [0, 1],
        }  # fmt: skip
        assert worker.asked[0].max_new_tokens == 1
        body = {"prompt": "ab", "echo": True, "logprobs": 2, "return_token_ids": True}
        (choice,) = (await ask(master.rest_address, "POST", "/v1/completions", body)).json[
            "choices"
        ]
        assert choice["text"] == "abHi"
        assert choice["logprobs"]["text_offset"] == [0, 1, 2, 3]
        assert choice["logprobs"]["top_logprobs"][2] == {"H": -0.5, "x": -1.5}
        assert choice["token_ids"] == [72, 105]
        assert choice["prompt_token_ids"] == [97, 98]


FAILURES = [
    (Overloaded("full"), 429, 429, "rate_limit_error"),
    (Draining("going"), 503, 503, "service_unavailable_error"),
    (InvalidRequest("too long"), 400, 422, "invalid_request_error"),
    (ExecutionFailed("NaN"), 500, 424, "server_error"),
    (AgentLost("died"), 502, 502, "server_error"),
]


@pytest.mark.parametrize(("failure", "status", "tgi_status", "kind"), FAILURES)
@pytest.mark.parametrize("streams", [True, False])
async def test_failures_before_the_first_piece_have_real_statuses(
    failure, status, tgi_status, kind, streams
):
    async with serving(failure=failure) as (master, _):
        address = master.rest_address
        answer = await ask(address, "POST", "/v1/completions", ASK | {"stream": streams})
        assert answer.status == status
        assert answer.json["error"]["type"] == kind
        assert answer.json["error"]["message"] == failure.message
        assert ("retry-after" in answer.headers) == (status in (429, 503))
        body = {"inputs": "Say: ", "stream": streams}
        answer = await ask(address, "POST", "/", body)
        assert (answer.status, answer.json["error"]) == (tgi_status, failure.message)
        answer = await ask(address, "POST", "/models/tiny", body)
        assert (answer.status, answer.json) == (status, {"error": failure.message})


async def test_failures_in_mid_stream_are_events():
    broken = AgentLost("the device process ended by signal 9")
    async with serving(breaks_after=2, broken=broken) as (master, worker):
        address = master.rest_address
        _, content = await stream(address, "/v1/completions", ASK | {"stream": True})
        *good, error, done = events_of(content)
        assert [orjson.loads(each)["choices"][0]["text"] for each in good] == ["H", "e"]
        assert orjson.loads(error)["error"]["message"] == broken.message
        assert done == b"[DONE]"
        worker.sent = 0
        _, content = await stream(address, "/generate_stream", {"inputs": "a"})
        assert orjson.loads(events_of(content)[-1]) == {
            "error": broken.message, "error_type": "incomplete_generation",
        }  # fmt: skip
        worker.sent = 0
        answer = await ask(address, "POST", "/v1/completions", ASK)
        assert answer.status == 502


async def test_a_sequence_that_fails_and_a_stream_that_ends_early_are_no_answers():
    async with serving(piece_error="its logits are not finite") as (master, worker):
        answer = await ask(master.rest_address, "POST", "/v1/completions", ASK)
        assert answer.status == 500
        assert answer.json["error"]["message"] == "its logits are not finite"
        worker.piece_error, worker.text = "", ""
        answer = await ask(master.rest_address, "POST", "/v1/completions", ASK)
        assert (answer.status, "before the text did" in answer.json["error"]["message"]) == (
            500, True,
        )  # fmt: skip


async def test_a_text_that_fails_after_its_first_piece_is_counted_by_its_error():
    exported = f"127.0.0.1:{free_port()}"
    failed = "mindserve_master_requests_total{outcome="

    async def counted():
        lines = (await ask(exported, "GET", "/metrics")).body.decode().splitlines()
        told = (each.removeprefix(failed).split("} ") for each in lines if each.startswith(failed))
        return {name.strip('"'): float(count) for name, count in told}

    error = "ExecutionFailed: its logits are not finite"
    settings = {"metrics_address": exported}
    async with serving(settings=settings, piece_error=error) as (master, worker):
        async with texts_at(master.address) as texts:
            assert (await texts.only(asked("a"))).error == error
            assert await counted() == {"ExecutionFailed": 1}
            _, content = await stream(
                master.rest_address, "/v1/completions", ASK | {"stream": True}
            )
            assert b"its logits are not finite" in content
            assert await counted() == {"ExecutionFailed": 2}
            worker.piece_error = ""
            await texts.only(asked("a"))
            assert await counted() == {"ExecutionFailed": 2, "ok": 1}


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/v1/completions", b"{", 400, "Illegal JSON"),
        ("/v1/completions", [], 400, "expected a JSON object"),
        ("/v1/completions", {"prompt": 1}, 400, "prompt: expected a text, a list of texts"),
        ("/v1/completions", ASK | {"model": "none"}, 404, "'none' does not exist"),
        ("/v1/completions", ASK | {"temperature": 3}, 400, "temperature: expected a number from 0"),
        ("/v1/completions", ASK | {"max_tokens": 0}, 400, "max_tokens: expected a whole number"),
        ("/v1/completions", ASK | {"prompt": "a" * 200}, 400, "the prompt has 200 tokens"),
        ("/v1/chat/completions", {"messages": []}, 400, "messages: expected from 1 to"),
        ("/generate", {"inputs": ""}, 422, "`inputs` cannot be empty"),
        ("/generate", {"inputs": "a", "parameters": {"top_p": 2}}, 422, "`top_p` must be > 0.0"),
        ("/generate", {"inputs": 1}, 422, "inputs: expected a text"),
        ("/models/tiny/generate", {"inputs": ""}, 400, "inputs: expected a text"),
        ("/models/tiny/nothing", {"inputs": "a"}, 404, "please check url"),
        ("/v1/completions", ASK | {"prompt": [7] * 128}, 400, "takes 128 tokens, prompt and"),
    ],
)
async def test_bad_requests_hear_what_is_wrong(path, body, status, text):
    async with serving() as (master, _):
        answer = await ask(master.rest_address, "POST", path, body)
        assert answer.status == status
        error = answer.json["error"]
        assert text in (error if isinstance(error, str) else error["message"])


async def test_a_model_without_a_template_takes_no_chat():
    language = dataclasses.replace(LANGUAGE, chat=False)
    plain = Offers((Offer(ServableVersion("tiny", 1), {}, 10, language),))
    async with serving(offers=plain) as (master, worker):
        chat = {"model": "tiny", "messages": [{"role": "user", "content": "a"}]}
        for path in ("/v1/chat/completions", "/tokenize"):
            answer = await ask(master.rest_address, "POST", path, chat)
            assert answer.status == 400
            assert answer.json["error"]["message"] == "model 'tiny' has no chat template"
        assert worker.asked == []


async def test_with_a_key_only_who_shows_it_is_answered(tmp_path):
    key = tmp_path / "key"
    key.write_text("secret-7\n")
    async with serving(settings={"rest_api_key_file": key}) as (master, _):
        address = master.rest_address
        for given in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic secret-7"}):
            answer = await ask(address, "POST", "/v1/completions", ASK, **given)
            assert answer.status == 401
            assert answer.json["error"]["code"] == "invalid_api_key"
            assert answer.headers["www-authenticate"] == "Bearer"
        good = {"authorization": "Bearer secret-7"}
        assert (await ask(address, "POST", "/v1/completions", ASK, **good)).status == 200
        assert (await ask(address, "POST", "/model/toy:predict", {})).status == 401
        assert (await ask(address, "POST", "/model/toy:predict", {}, **good)).status == 400
        assert (await ask(address, "GET", "/health")).status == 200


@pytest.mark.parametrize("wire", ["native", "grpcio"])
async def test_a_client_that_hangs_up_ends_its_sequence_and_frees_its_place(wire):
    async with serving(settings={"wire": wire, "max_requests": 1}, endless=True) as (
        master,
        worker,
    ):
        http = await Http.connect(master.rest_address)
        http.write("POST", "/v1/completions", orjson.dumps(ASK | {"stream": True}))
        await read_head(http)
        await read_chunk(http)
        refused = await ask(master.rest_address, "POST", "/v1/completions", ASK)
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert worker.running == 1
        http.hang_up()
        await until(lambda: worker.cancelled == 1, what="the sequence to be cancelled")
        worker.endless = False

        async def answers():
            return (await ask(master.rest_address, "POST", "/v1/completions", ASK)).status == 200

        await until(answers, what="the place to be free")


async def test_a_client_that_hangs_up_while_it_waits_for_the_whole_ends_its_sequences():
    async with serving() as (master, worker):
        worker.go_on.clear()
        http = await Http.connect(master.rest_address)
        http.write("POST", "/v1/completions", orjson.dumps(ASK | {"prompt": ["a", "b"]}))
        await http.writer.drain()
        await until(lambda: worker.running == 2, what="two sequences")
        http.hang_up()
        await until(lambda: worker.running == 0, what="both to end")
        assert worker.cancelled == 2


@pytest.mark.parametrize("wire", ["native", "grpcio"])
async def test_a_client_that_does_not_read_holds_up_itself_alone(wire):
    async with serving(settings={"wire": wire}, endless=True) as (master, worker):
        slow = await Http.connect(master.rest_address)
        slow.write("POST", "/v1/completions", orjson.dumps(ASK | {"stream": True}))
        await read_head(slow)
        slow.reader._transport.pause_reading()
        worker.endless = False  # for those who come after it
        of_others = len("Hello!") + 1

        async def others_alone_are_served():
            before = worker.sent
            answer = await ask(master.rest_address, "POST", "/v1/completions", ASK)
            assert answer.json["choices"][0]["text"] == "Hello!"
            # 21 kilobytes each: what connections hold, and no more.
            assert worker.sent < 760
            return worker.sent == before + of_others

        await until(others_alone_are_served, what="the worker to wait for its reader")
        slow.hang_up()
        await until(lambda: worker.running == 0, what="its sequence to end")


async def test_who_is_too_late_hears_so():
    async with serving() as (master, worker):
        worker.go_on.clear()
        body = ASK | {"stream": True}
        _, content = await stream(
            master.rest_address, "/v1/completions", body, x_request_timeout="0.3"
        )
        *_, error, _ = events_of(content)
        assert orjson.loads(error)["error"]["type"] == "timeout_error"
        assert 0 < worker.seconds_left[0] <= 0.3
        late = await ask(
            master.rest_address, "POST", "/v1/completions", ASK, x_request_timeout="0.2"
        )
        assert late.status == 504
        await until(lambda: worker.running == 0, what="both to be withdrawn")


async def test_a_refusal_is_answered_by_another_worker_and_a_prefix_comes_home():
    async with a_master() as master:
        first = LanguageWorker(master, "a", text="from a")
        second = LanguageWorker(master, "b", text="from b")
        async with first.joined(), second.joined():
            both = {"model": "tiny", "prompt": "x" * 100, "max_tokens": 10}

            async def texts():
                answer = await ask(master.rest_address, "POST", "/v1/completions", both)
                return answer.status == 200 and answer.json["choices"][0]["text"]

            await until(texts, what="an answer")
            for worker, other in ((first, second), (second, first)):
                worker.failure = Overloaded("full")
                assert {await texts() for _ in range(4)} == {other.text}
                worker.failure = None
            first.failure = second.failure = Overloaded("both are full")
            answer = await ask(master.rest_address, "POST", "/v1/completions", both)
            assert (answer.status, answer.json["error"]["message"]) == (429, "both are full")
            first.failure = second.failure = None
            long = {"model": "tiny", "prompt": [7] * 100, "max_tokens": 10}
            homes = set()
            for _ in range(6):
                answer = await ask(master.rest_address, "POST", "/v1/completions", long)
                homes.add(answer.json["choices"][0]["text"])
            assert len(homes) == 1
            home = first if homes == {"from a"} else second
            home.offers = language_offers(draining=True)
            home.membership.changed()

            async def elsewhere():
                answer = await ask(master.rest_address, "POST", "/v1/completions", long)
                return answer.json["choices"][0]["text"] not in homes

            await until(elsewhere, what="the draining worker to be left alone")


async def test_a_worker_that_is_lost_in_mid_stream_is_named():
    async with serving(endless=True) as (master, worker):
        http = await Http.connect(master.rest_address)
        http.write("POST", "/v1/completions", orjson.dumps(ASK | {"stream": True}))
        await read_head(http)
        await worker.server.close(0)
        content = b""
        while chunk := await read_chunk(http):
            content += chunk
        error = orjson.loads(events_of(content)[-2])["error"]
        assert error["message"] == "the worker was lost while it generated"
        http.hang_up()


async def test_a_draining_master_finishes_its_streams():
    async with serving() as (master, worker):
        worker.go_on.clear()
        http = await Http.connect(master.rest_address)
        http.write("POST", "/v1/completions", orjson.dumps(ASK | {"stream": True}))
        await read_head(http)
        draining = asyncio.create_task(master.drain())
        refused = await ask(master.rest_address, "POST", "/v1/completions", ASK)
        assert refused.status == 503
        worker.go_on.set()
        content = b""
        while chunk := await read_chunk(http):
            content += chunk
        assert content.endswith(b"data: [DONE]\n\n")
        await draining
        http.hang_up()


@pytest.mark.parametrize("wire", ["native", "grpcio"])
async def test_grpc_clients_get_the_stream_as_it_comes(wire):
    async with serving(settings={"wire": wire}, text="Hi") as (master, worker):
        async with grpc.aio.insecure_channel(master.address) as channel:
            generate = channel.unary_stream(
                "/mindserve.serving.v1.TextGeneration/Generate",
                request_serializer=pb.GenerateRequest.SerializeToString,
                response_deserializer=pb.GenerateReply.FromString,
            )
            call = generate(
                pb.GenerateRequest(model="tuned", text="a"), metadata=[("x-request-id", "r7")]
            )
            replies = [reply async for reply in call]
            assert [p.text for reply in replies for p in reply.pieces] == ["H", "i"]
            assert replies[-1].usage.completion_tokens == 2
            assert (worker.asked[0].model, worker.asked[0].version) == ("tuned", 1)
            assert worker.request_ids == ["r7"]
            with pytest.raises(grpc.aio.AioRpcError) as unknown:
                await generate(pb.GenerateRequest(model="none", text="a")).read()
            assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
            with pytest.raises(grpc.aio.AioRpcError) as empty:
                await generate(pb.GenerateRequest(model="tiny")).read()
            assert empty.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            worker.endless = True
            call = generate(pb.GenerateRequest(model="tiny", text="a"))
            await call.read()
            call.cancel()
            await until(lambda: worker.cancelled == 1, what="the sequence to be cancelled")
            listing = channel.unary_unary(
                "/mindserve.serving.v1.TextGeneration/ListModels",
                request_serializer=pb.ListModelsRequest.SerializeToString,
                response_deserializer=pb.ListModelsReply.FromString,
            )
            models = (await listing(pb.ListModelsRequest())).models
            assert [(each.name, each.base) for each in models] == [("tiny", ""), ("tuned", "tiny")]
            tokenize = channel.unary_unary(
                "/mindserve.serving.v1.TextGeneration/Tokenize",
                request_serializer=pb.TokenizeRequest.SerializeToString,
                response_deserializer=pb.TokenizeReply.FromString,
            )
            assert (await tokenize(pb.TokenizeRequest(model="tiny", text="a"))).ids == [97]
