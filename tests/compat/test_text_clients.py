"""Clients that their users have already, unmodified: ``openai``, ``text-generation`` and
``huggingface_hub``, before a real master."""

import asyncio
import json

import openai
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import ValidationError as HubValidationError
from text_generation import Client
from text_generation.errors import ValidationError

from shared.errors import AgentLost, ExecutionFailed, Overloaded
from shared.text_generation import Chat
from tests.contract.test_text_door import serving
from tests.support.cluster import until

# The client of TGI was written for pydantic 1.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20")

MESSAGES = [{"role": "user", "content": "Say hello"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = '{"name": "weather", "arguments": {"city": "Ulm"}}'


def openai_at(master, **more):
    base_url = f"http://{master.rest_address}/v1"
    return openai.OpenAI(base_url=base_url, **{"api_key": "unused", "max_retries": 0} | more)


async def inside(work, *args):
    return await asyncio.to_thread(work, *args)


async def test_openai_completes_prompts_with_choices_and_usage():
    def ask(master):
        with openai_at(master) as client:
            whole = client.completions.create(
                model="tiny", prompt=["a", "b"], n=2, max_tokens=4, logprobs=2, seed=7,
                stop=["zz"], logit_bias={"5": -100},
                extra_body={"top_k": 3, "min_p": 0.1, "repetition_penalty": 1.1,
                            "stop_token_ids": [3], "ignore_eos": True, "min_tokens": 1,
                            "structured_outputs": {"regex": "[a-z]+"}},
            )  # fmt: skip
            chunks = list(
                client.completions.create(
                    model="tiny", prompt="a", stream=True, stream_options={"include_usage": True}
                )
            )
            return whole, chunks, client.models.list().data

    async with serving() as (master, worker):
        whole, chunks, models = await inside(ask, master)
        sampling = worker.asked[0].sampling
    assert [(each.index, each.text, each.finish_reason) for each in whole.choices] == [
        (number, "Hell", "length") for number in range(4)
    ]
    assert whole.choices[0].logprobs.tokens == ["H", "e", "l", "l"]
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (2, 16)
    assert whole.usage.prompt_tokens_details.cached_tokens == 4
    assert "".join(each.choices[0].text for each in chunks[:-1]) == "Hello!"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 7
    assert [each.id for each in models] == ["tiny", "tuned"]
    assert (sampling.top_k, sampling.seed, sampling.logit_bias) == (3, 7, {5: -100.0})
    assert (sampling.stop_ids, sampling.grammar.source) == ((3,), "[a-z]+")


async def test_openai_chats_streaming_and_not():
    def ask(master):
        with openai_at(master) as client:
            whole = client.chat.completions.create(
                model="tuned", messages=MESSAGES, n=2, logprobs=True, top_logprobs=2
            )
            chunks = list(
                client.chat.completions.create(
                    model="tiny", messages=MESSAGES, stream=True, max_completion_tokens=5,
                    stream_options={"include_usage": True},
                )
            )  # fmt: skip
            with client.chat.completions.stream(model="tiny", messages=MESSAGES) as stream:
                final = stream.get_final_completion()
            return whole, chunks, final

    async with serving() as (master, worker):
        whole, chunks, final = await inside(ask, master)
        chat = worker.asked[0].prompt
    assert isinstance(chat, Chat)
    assert json.loads(chat.messages_json) == MESSAGES
    assert [each.message.content for each in whole.choices] == ["Hello!", "Hello!"]
    assert {each.finish_reason for each in whole.choices} == {"stop"}
    first = whole.choices[0].logprobs.content[0]
    assert (first.token, first.bytes, len(first.top_logprobs)) == ("H", [72], 2)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(each.choices[0].delta.content or "" for each in chunks[:-1]) == "Hello"
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage.completion_tokens == 5
    assert final.choices[0].message.content == "Hello!"


@pytest.mark.parametrize("text", [CALL, f"Let me see. <tool_call>{CALL}</tool_call>"])
async def test_openai_gets_calls_of_tools(text):
    def ask(master):
        with openai_at(master) as client:
            whole = client.chat.completions.create(model="tiny", messages=MESSAGES, tools=[WEATHER])
            with client.chat.completions.stream(
                model="tiny", messages=MESSAGES, tools=[WEATHER]
            ) as stream:
                final = stream.get_final_completion()
            client.chat.completions.create(
                model="tiny", messages=MESSAGES, tools=[WEATHER], tool_choice="required"
            )
            return whole, final

    async with serving(text=text) as (master, worker):
        whole, final = await inside(ask, master)
        assert json.loads(worker.asked[0].prompt.tools_json) == [WEATHER]
        assert worker.asked[0].sampling.grammar is None
        schema = json.loads(worker.asked[-1].sampling.grammar.source)
        assert schema["properties"]["name"] == {"const": "weather"}
    for answer in (whole, final):
        (choice,) = answer.choices
        assert choice.finish_reason == "tool_calls"
        (call,) = choice.message.tool_calls
        assert (call.function.name, call.function.arguments) == ("weather", '{"city": "Ulm"}')
        said = choice.message.content
        assert said == ("Let me see. " if "Let" in text else None) or (text == CALL and not said)


async def test_openai_asks_for_json():
    def ask(master):
        with openai_at(master) as client:
            for form in (
                {"type": "json_object"},
                {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "array"}}},
            ):
                client.chat.completions.create(
                    model="tiny", messages=MESSAGES, response_format=form
                )

    async with serving() as (master, worker):
        await inside(ask, master)
        grammars = [each.sampling.grammar for each in worker.asked]
    assert [each.form for each in grammars] == ["any_json", "json_schema"]
    assert json.loads(grammars[1].source) == {"type": "array"}


async def test_openai_raises_what_went_wrong(tmp_path):
    def fails(master, error, retries=0, **more):
        with openai_at(master, max_retries=retries) as client:
            with pytest.raises(error) as raised:
                client.completions.create(**{"model": "tiny", "prompt": "a"} | more)
            return raised.value

    async with serving() as (master, worker):
        bad = await inside(lambda: fails(master, openai.BadRequestError, temperature=9))
        assert (bad.param, bad.type) == ("temperature", "invalid_request_error")
        missing = await inside(lambda: fails(master, openai.NotFoundError, model="none"))
        assert missing.code == "model_not_found"
        worker.failure = Overloaded("the line is full")
        worker.asked.clear()
        full = await inside(lambda: fails(master, openai.RateLimitError, retries=2))
        assert "the line is full" in full.message
        assert full.request_id
        assert len(worker.asked) == 3
        worker.failure = ExecutionFailed("NaN")
        await inside(lambda: fails(master, openai.InternalServerError))
    key = tmp_path / "key"
    key.write_text("secret-7")
    async with serving(settings={"rest_api_key_file": key}) as (master, _):
        await inside(lambda: fails(master, openai.AuthenticationError))

        def with_key():
            with openai_at(master, api_key="secret-7") as client:
                return client.completions.create(model="tiny", prompt="a").choices[0].text

        assert await inside(with_key) == "Hello!"


async def test_openai_retries_until_a_worker_is_there():
    def ask(master):
        with openai_at(master, max_retries=5) as client:
            return client.completions.create(model="tiny", prompt="a").choices[0].text

    async with serving(failure=Overloaded("full")) as (master, worker):
        asking = asyncio.create_task(inside(ask, master))
        await until(lambda: worker.asked, what="a first attempt")
        worker.failure = None
        assert await asking == "Hello!"


async def test_openai_hears_of_a_failure_after_the_good_chunks():
    def ask(master):
        texts = []
        with openai_at(master) as client, pytest.raises(openai.APIError) as raised:
            stream = client.completions.create(model="tiny", prompt="a", stream=True)
            texts.extend(chunk.choices[0].text for chunk in stream)
        return texts, raised.value

    async with serving(breaks_after=3, broken=AgentLost("the device process ended")) as (master, _):
        texts, failure = await inside(ask, master)
    assert texts == ["H", "e", "l"]
    assert failure.message == "the device process ended"


async def test_openai_that_stops_reading_ends_the_sequence():
    def ask(master):
        with openai_at(master) as client:
            stream = client.completions.create(model="tiny", prompt="a", stream=True)
            for _, _ in zip(range(3), stream, strict=False):
                pass
            stream.close()

    async with serving(endless=True) as (master, worker):
        await inside(ask, master)
        await until(lambda: worker.running == 0, what="the sequence to end")
        assert worker.cancelled == 1


async def test_text_generation_generates_streams_and_chats():
    def ask(master):
        client = Client(f"http://{master.rest_address}", timeout=20)
        whole = client.generate(
            "Say: ", max_new_tokens=4, seed=5, decoder_input_details=True, top_n_tokens=2,
            do_sample=True, temperature=0.5,
        )  # fmt: skip
        stopped = client.generate("Say: ", stop_sequences=["l"], return_full_text=True)
        stream = list(client.generate_stream("Say: "))
        chat = client.chat(MESSAGES, max_tokens=4)
        return whole, stopped, stream, chat

    async with serving() as (master, _):
        whole, stopped, stream, chat = await inside(ask, master)
    assert (whole.generated_text, whole.details.finish_reason.value) == ("Hell", "length")
    assert (whole.details.generated_tokens, whole.details.seed) == (4, 5)
    assert [each.text for each in whole.details.tokens] == ["H", "e", "l", "l"]
    assert [each.text for each in whole.details.prefill] == ["S", "a", "y", ":", " "]
    assert (stopped.generated_text, stopped.details.finish_reason.value) == (
        "Say: Hel", "stop_sequence",
    )  # fmt: skip
    assert "".join(each.token.text for each in stream) == "Hello!"
    assert stream[-1].generated_text == "Hello!"
    assert stream[-1].details.finish_reason.value == "eos_token"
    assert chat.choices[0].message.content == "Hell"


async def test_text_generation_raises_what_went_wrong():
    def ask(master):
        client = Client(f"http://{master.rest_address}", timeout=20)
        with pytest.raises(ValidationError) as raised:
            client.generate("a" * 200)
        return raised.value

    async with serving() as (master, _):
        assert "the prompt has 200 tokens" in str(await inside(ask, master))


async def test_huggingface_hub_generates_and_chats():
    def ask(master):
        client = InferenceClient(f"http://{master.rest_address}")
        whole = client.text_generation("Say: ", max_new_tokens=4, details=True)
        stream = list(client.text_generation("Say: ", stream=True))
        chat = client.chat_completion(MESSAGES, max_tokens=4)
        chunks = list(client.chat_completion(MESSAGES, stream=True))
        with pytest.raises(HubValidationError) as raised:
            client.text_generation("a" * 200)
        return whole, stream, chat, chunks, raised.value

    async with serving() as (master, _):
        whole, stream, chat, chunks, failure = await inside(ask, master)
    assert (whole.generated_text, whole.details.finish_reason) == ("Hell", "length")
    assert "".join(stream) == "Hello!"
    assert chat.choices[0].message.content == "Hell"
    assert "".join(each.choices[0].delta.content or "" for each in chunks) == "Hello!"
    assert "the prompt has 200 tokens" in str(failure)
    assert chat.model == "tiny"
