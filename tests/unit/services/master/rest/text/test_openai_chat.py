"""Bodies of ``/v1/chat/completions`` as requests, and replies as its answer."""

import json

import pytest

from services.master.rest.statuses import InvalidField
from services.master.rest.text.answer import Caller
from services.master.rest.text.openai_chat import read
from shared.text_generation import GenerateReply, Piece

CALLER = Caller("7", 1000)
USER = {"role": "user", "content": "a"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def asked(**fields):
    return read({"model": "tiny", "messages": [USER]} | fields, CALLER)


@pytest.mark.parametrize(
    ("fields", "most"),
    [({}, None), ({"max_tokens": 3}, 3), ({"max_tokens": 3, "max_completion_tokens": 4}, 4)],
)
def test_the_length_is_what_fits_or_either_field(fields, most):
    assert asked(**fields).requests[0].max_new_tokens == most


def test_parts_that_are_texts_become_one_text():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    (request,) = asked(messages=[{"role": "user", "content": parts}]).requests
    assert json.loads(request.prompt.messages_json) == [{"role": "user", "content": "a\nb"}]


@pytest.mark.parametrize(
    ("arguments", "told"), [('{"a": 1}', {"a": 1}), ({"a": 1}, {"a": 1}), ("{no", "{no")]
)
def test_templates_get_the_arguments_of_calls_as_objects(arguments, told):
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call, 5]}
    (request,) = asked(messages=[USER, message]).requests
    first, other = json.loads(request.prompt.messages_json)[1]["tool_calls"]
    assert (first["function"]["arguments"], other) == (told, 5)


def test_templates_hear_of_tools_documents_and_arguments():
    (request,) = asked(
        tools=[TOOL], chat_template_kwargs={"thinking": False}, documents=[{"text": "x"}]
    ).requests
    assert json.loads(request.prompt.tools_json) == [TOOL]
    assert json.loads(request.prompt.template_arguments_json) == {
        "thinking": False, "documents": [{"text": "x"}],
    }  # fmt: skip
    assert (request.prompt.continue_last, request.prompt.no_answer) == (False, False)
    (request,) = asked(continue_final_message=True).requests
    assert (request.prompt.continue_last, request.prompt.no_answer) == (True, True)
    (request,) = asked(tools=[TOOL], tool_choice="none").requests
    assert request.prompt.tools_json == ""


@pytest.mark.parametrize(
    ("choice", "names"),
    [("required", ["f", "g"]), ({"type": "function", "function": {"name": "g"}}, ["g"])],
)
def test_a_tool_that_must_be_called_is_a_grammar(choice, names):
    other = {"type": "function", "function": {"name": "g"}}
    (request,) = asked(tools=[TOOL, other], tool_choice=choice).requests
    schema = json.loads(request.sampling.grammar.source)
    found = schema.get("anyOf", [schema])
    assert [each["properties"]["name"]["const"] for each in found] == names


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"messages": None}, "messages"), ({"messages": ["a"]}, "messages"),
        ({"messages": [{"content": "a"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
        ({"top_logprobs": 2}, "top_logprobs"), ({"chat_template": "x"}, "chat_template"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": "always"}, "tool_choice"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "x"}}},
            "tool_choice",
        ),
        ({"tools": [{"type": "function"}]}, "tools"), ({"functions": [{}]}, "functions"),
        (
            {"continue_final_message": True, "add_generation_prompt": True},
            "continue_final_message",
        ),
        (
            {
                "tools": [TOOL], "tool_choice": "required",
                "response_format": {"type": "json_object"},
            },
            "response_format",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(fields, name):
    with pytest.raises(InvalidField) as fault:
        asked(**fields)
    assert fault.value.name == name


def test_a_stream_begins_with_the_role_and_ends_with_the_reason():
    answer = asked(stream=True, n=2).answer
    events = list(answer.add(0, GenerateReply((Piece(0, "Hi"), Piece(1, "Ho")))))
    events += answer.add(0, GenerateReply((Piece(0, finish_reason="length"),)))
    told = [(e["choices"][0]["index"], e["choices"][0]["delta"]) for e in events]
    role = {"role": "assistant", "content": ""}
    assert told == [(0, role), (1, role), (0, {"content": "Hi"}), (1, {"content": "Ho"}), (0, {})]
    assert [e["choices"][0]["finish_reason"] for e in events] == [None] * 4 + ["length"]


def test_calls_are_told_at_the_end_and_only_one_if_so_wished():
    calls = '[{"name": "f", "arguments": {}}, {"name": "f", "parameters": {"a": 1}}]'
    for parallel, count in ((True, 2), (False, 1)):
        answer = asked(stream=True, tools=[TOOL], parallel_tool_calls=parallel).answer
        events = [
            event
            for piece in (Piece(0, calls[:9]), Piece(0, calls[9:], finish_reason="stop"))
            for event in answer.add(0, GenerateReply((piece,)))
        ]
        *_, last = events
        assert len(last["choices"][0]["delta"]["tool_calls"]) == count
        assert last["choices"][0]["finish_reason"] == "tool_calls"
        assert len(events) == 2
        message = answer.whole()["choices"][0]["message"]
        assert message["content"] is None
        assert "index" not in message["tool_calls"][0]
