"""Bodies of ``/v1/completions`` as requests, and replies as its answer."""

import pytest

from services.master.rest.statuses import InvalidField
from services.master.rest.text.answer import Caller
from services.master.rest.text.openai_completions import read
from shared.errors import AgentLost, ExecutionFailed, InternalError
from shared.text_generation import GenerateReply, Grammar, Piece, Usage

CALLER = Caller("7", 1000, priority=2)
ASK = {"model": "tiny", "prompt": "a"}


def request_of(**fields):
    (request,) = read(ASK | fields, CALLER).requests
    return request


def test_what_is_not_said_is_openais_default():
    request = request_of()
    sampling = request.sampling
    assert (request.model, request.prompt, request.max_new_tokens, request.n) == (
        "tiny",
        "a",
        16,
        1,
    )
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.seed) == (
        1.0, None, 0, None,
    )  # fmt: skip
    assert (sampling.logprobs, request.details, request.prompt_details) == (None, False, False)
    assert request.skip_special_tokens
    assert request.priority == 2


@pytest.mark.parametrize(
    ("fields", "where", "value"),
    [
        ({"temperature": 0}, "sampling.temperature", 0.0),
        ({"top_p": 0.5}, "sampling.top_p", 0.5),
        ({"top_k": -1}, "sampling.top_k", 0),
        ({"top_k": 5}, "sampling.top_k", 5),
        ({"min_p": 0.1}, "sampling.min_p", 0.1),
        ({"repetition_penalty": 1.2}, "sampling.repetition_penalty", 1.2),
        ({"presence_penalty": -2}, "sampling.presence_penalty", -2.0),
        ({"frequency_penalty": 2}, "sampling.frequency_penalty", 2.0),
        ({"logit_bias": {"3": -100, "4": 1.5}}, "sampling.logit_bias", {3: -100.0, 4: 1.5}),
        ({"seed": 5}, "sampling.seed", 5),
        ({"seed": -1}, "sampling.seed", 2**64 - 1),
        ({"min_tokens": 2}, "sampling.min_tokens", 2),
        ({"stop_token_ids": [1, 2]}, "sampling.stop_ids", (1, 2)),
        ({"allowed_token_ids": [1, 2]}, "sampling.allowed_ids", (1, 2)),
        ({"logprobs": 3}, "sampling.logprobs", 3),
        ({"logprobs": 0}, "details", True),
        ({"prompt_logprobs": 1}, "sampling.prompt_logprobs", 1),
        ({"echo": True, "logprobs": 2}, "sampling.prompt_logprobs", 2),
        ({"echo": True}, "prompt_details", True),
        ({"return_token_ids": True}, "prompt_details", True),
        ({"echo": True, "max_tokens": 0}, "max_new_tokens", 1),
        ({"stop": "x"}, "stop", ("x",)),
        ({"stop": ["x", ""]}, "stop", ("x",)),
        ({"include_stop_str_in_output": True}, "include_stop", True),
        ({"ignore_eos": True}, "ignore_eos", True),
        ({"skip_special_tokens": False}, "skip_special_tokens", False),
        ({"truncate_prompt_tokens": 9}, "truncate_prompt_tokens", 9),
        ({"truncate_prompt_tokens": -1}, "truncate_prompt_tokens", 0),
        ({"priority": 1}, "priority", 1),
        ({"cache_salt": "s"}, "cache_salt", "s"),
        ({"n": 3, "best_of": 3}, "n", 3),
        ({"add_special_tokens": False}, "add_special_tokens", False),
        ({"response_format": {"type": "text"}}, "sampling.grammar", None),
        ({"response_format": {"type": "json_object"}}, "sampling.grammar", Grammar("any_json")),
        (
            {"structured_outputs": {"choice": ["a", "b"]}}, "sampling.grammar",
            Grammar("choices", texts=("a", "b")),
        ),
        (
            {"structured_outputs": {"json": '{"type": "object"}'}}, "sampling.grammar",
            Grammar("json_schema", '{"type":"object"}'),
        ),
        ({"temperature": None, "unknown": 5}, "sampling.temperature", 1.0),
    ],
)  # fmt: skip
def test_each_field_finds_its_place(fields, where, value):
    found = request_of(**fields)
    for name in where.split("."):
        found = getattr(found, name)
    assert found == value


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"prompt": None}, "prompt"), ({"prompt": []}, "prompt"), ({"prompt": [[]]}, "prompt"),
        ({"prompt": ["a", [1]], "n": 0}, "n"), ({"prompt": [-1]}, "prompt"),
        ({"prompt": ["a"] * 257}, "prompt"),
        ({"model": 1}, "model"), ({"temperature": "x"}, "temperature"),
        ({"temperature": True}, "temperature"), ({"temperature": 2.1}, "temperature"),
        ({"top_p": 0}, "top_p"), ({"top_p": 1.1}, "top_p"), ({"top_k": -2}, "top_k"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"logit_bias": {"x": 1}}, "logit_bias"), ({"logit_bias": {"1": 101}}, "logit_bias.1"),
        ({"seed": 1.5}, "seed"), ({"max_tokens": 0}, "max_tokens"), ({"n": 129}, "n"),
        ({"best_of": 2}, "best_of"), ({"logprobs": 21}, "logprobs"), ({"stop": 5}, "stop"),
        ({"stop": ["x"] * 65}, "stop"), ({"stop_token_ids": ["a"]}, "stop_token_ids"),
        ({"suffix": "x"}, "suffix"), ({"bad_words": ["x"]}, "bad_words"),
        ({"use_beam_search": True}, "use_beam_search"), ({"echo": "yes"}, "echo"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"response_format": {"type": "x"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"structured_outputs": {}}, "structured_outputs.json"),
        ({"structured_outputs": {"grammar": "x"}}, "structured_outputs.grammar"),
        ({"structured_outputs": {"regex": "("}}, "structured_outputs.regex"),
        ({"structured_outputs": {"json": "{"}}, "structured_outputs.json"),
        ({"structured_outputs": {"json": {}, "regex": "a"}}, "structured_outputs.json"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(fields, name):
    with pytest.raises(InvalidField) as fault:
        read(ASK | fields, CALLER)
    assert fault.value.name == name


def test_choices_of_several_prompts_are_kept_apart():
    asked = read(ASK | {"prompt": ["a", "b"], "n": 2}, CALLER)
    for prompt in (1, 0):
        for choice in (1, 0):
            piece = Piece(choice, f"{prompt}{choice}", finish_reason="stop")
            (event,) = asked.answer.add(prompt, GenerateReply((piece,), Usage(3, 1)))
            assert event["choices"][0]["index"] == 2 * prompt + choice
    whole = asked.answer.whole()
    assert [each["text"] for each in whole["choices"]] == ["00", "01", "10", "11"]
    assert whole["usage"]["total_tokens"] == 16


def test_pieces_that_say_nothing_are_not_told():
    asked = read(ASK | {"stream": True}, CALLER)
    assert list(asked.answer.add(0, GenerateReply((Piece(0, "", (5,)),)))) == []
    assert list(asked.answer.end()) == []


@pytest.mark.parametrize(
    ("piece", "failure", "message"),
    [
        (Piece(0, finish_reason="error", error="AgentLost: it died"), AgentLost, "AgentLost: it d"),
        (Piece(0, finish_reason="error", error="what?"), InternalError, "what?"),
        (Piece(0, finish_reason="abort"), ExecutionFailed, "the generation was aborted"),
    ],
)
def test_a_choice_that_failed_is_no_text(piece, failure, message):
    asked = read(ASK, CALLER)
    with pytest.raises(failure, match=message) as raised:
        list(asked.answer.add(0, GenerateReply((piece,))))
    assert type(raised.value) is failure
