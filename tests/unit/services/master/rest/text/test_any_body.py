"""Whatever a client sends, a reader answers with requests or says what is wrong."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.master.rest.statuses import InvalidField
from services.master.rest.text import openai_chat, openai_completions, original, tgi, tokens
from services.master.rest.text.answer import Caller
from shared.errors import ServingError
from shared.text_generation import GenerateRequest
from shared.wire.text_codec import read_generate, write_generate

CALLER = Caller("7", 1000)
FIELDS = [
    "model", "prompt", "messages", "inputs", "parameters", "stream", "stream_options",
    "max_tokens", "logprobs", "echo", "n", "temperature", "top_p", "top_k", "stop", "seed",
    "logit_bias", "response_format", "structured_outputs", "tools", "tool_choice", "priority",
    "truncate_prompt_tokens", "stop_token_ids", "chat_template_kwargs", "documents",
    "request_id", "tokens", "add_special_tokens", "prompt_logprobs", "top_logprobs",
    "cache_salt",
]  # fmt: skip
INNER = [
    "role", "content", "type", "text", "function", "name", "parameters", "json_schema", "schema",
    "json", "regex", "choice", "value", "include_usage", "max_new_tokens", "grammar", "details",
    "best_of", "do_sample", "return_full_text", "truncate",
]  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.floats(allow_nan=False)
    | st.sampled_from(["", "a", "True", "json_object", "user", "function", "(", "5"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(INNER) | st.just("3"), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
bodies = st.dictionaries(st.sampled_from(FIELDS), values, max_size=8)
READERS = (
    openai_completions.read, openai_chat.read, tgi.read_root, tgi.read_generate,
    tgi.read_generate_stream, original.read,
)  # fmt: skip


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("whole", [{}, {"prompt": "a", "inputs": "a", "messages": [{"role": "u"}]}])
@settings(deadline=None)
@given(bodies)
def test_a_body_becomes_requests_that_can_be_sent_or_is_refused(read, whole, body):
    try:
        asked = read(whole | body, CALLER)
    except ServingError as failure:
        assert failure.message
        return
    for request in asked.requests:
        assert isinstance(request, GenerateRequest)
        assert read_generate(write_generate(request)).prompt == request.prompt


@settings(deadline=None)
@given(bodies)
def test_a_body_about_tokens_is_read_or_refused(body):
    for read in (tokens.read_tokenize, tokens.read_detokenize):
        try:
            read(body, CALLER)
        except ServingError as failure:
            assert failure.message


@pytest.mark.parametrize("name", ["messages", "tools", "response_format", "chat_template_kwargs"])
def test_what_is_nested_too_deep_to_be_sent_on_is_refused(name):
    deep = orjson.loads(b'{"a":' * 400 + b"1" + b"}" * 400)
    body = {"messages": [{"role": "user", "content": "a"}]} | {
        "messages": {"messages": [{"role": "user", "x": deep}]},
        "tools": {"tools": [{"type": "function", "function": {"name": "f", "parameters": deep}}]},
        "response_format": {
            "response_format": {"type": "json_schema", "json_schema": {"schema": deep}}
        },
        "chat_template_kwargs": {"chat_template_kwargs": deep},
    }[name]
    with pytest.raises(ServingError, match="JSON of at most 250 levels"):
        openai_chat.read(body, CALLER)


@pytest.mark.parametrize("depth", [5, 1000, 1020])
def test_what_is_refused_is_shown_however_deep_it_is(depth):
    deep = orjson.loads(b"[" * depth + b"]" * depth)
    with pytest.raises(InvalidField) as raised:
        openai_completions.read({"prompt": deep}, CALLER)
    assert len(raised.value.message) < 250


def test_biases_are_bounded():
    body = {"prompt": "a", "logit_bias": {str(token): 1 for token in range(1024)}}
    (request,) = openai_completions.read(body, CALLER).requests
    assert len(request.sampling.logit_bias) == 1024
    body["logit_bias"]["2000"] = 1
    with pytest.raises(InvalidField, match="logit_bias: expected at most 1024 tokens"):
        openai_completions.read(body, CALLER)
