"""Chat templates see what a request gives them, and do nothing but text."""

import json

import pytest

from services.worker.language.template import ChatTemplate
from shared.errors import InvalidRequest, LoadFailed
from shared.text_generation import Chat

CHATML = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
MESSAGES = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "He said "}]


def chat(messages=MESSAGES, **more):
    return Chat(json.dumps(messages), **more)


async def rendered(source, asked, special=None):
    return await ChatTemplate(source, special or {}).render(asked)


async def test_messages_become_a_prompt_that_begins_an_answer():
    prompt = await rendered(CHATML, chat(MESSAGES[:1]))
    assert prompt == "<user>Hi</>\n<assistant>"
    assert await rendered(CHATML, chat(MESSAGES[:1], no_answer=True)) == "<user>Hi</>\n"


async def test_the_last_message_is_gone_on_with():
    prompt = await rendered(CHATML, chat(continue_last=True))
    assert prompt == "<user>Hi</>\n<assistant>He said "
    trimming = CHATML.replace("m.content", "m.content|trim")
    # The mark behind the blank keeps it from being trimmed.
    assert await rendered(trimming, chat(continue_last=True)) == prompt


async def test_tools_arguments_and_special_tokens_are_seen():
    source = "{{ bos_token }}{{ tools|tojson }}{{ mood }}{{ messages|length }}"
    asked = chat(
        tools_json='[{"name": "é<"}]', template_arguments_json='{"mood": "!", "messages": 1}'
    )
    assert await rendered(source, asked, {"bos_token": "<s>"}) == '<s>[{"name": "é<"}]!2'


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{ raise_exception('no roles') }}", "no roles"),
        ("{{ ''.__class__.__mro__ }}", "SecurityError"),
        ("{{ messages.append(1) }}", "SecurityError"),
        ("{{ nothing.there }}", "UndefinedError"),
        ("{% for i in range(10**9) %}{% endfor %}", "OverflowError"),
    ],
)
async def test_what_a_template_does_not_do_is_said(source, words):
    with pytest.raises(InvalidRequest, match=words):
        await rendered(source, chat())


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Chat("{"), "messages: not JSON"),
        (Chat("{}"), "messages: expected a list"),
        (Chat("[1]"), r"messages\[0\]: expected an object"),
        (Chat("[]", continue_last=True), "expected a text in the last one"),
        (chat(tools_json="{}"), "tools: expected a list"),
        (chat(template_arguments_json="[]"), "template arguments: expected an object"),
    ],
)
async def test_what_is_no_chat_is_refused(asked, words):
    with pytest.raises(InvalidRequest, match=words):
        await rendered(CHATML, asked)


def test_what_is_no_template_is_not_loaded():
    with pytest.raises(LoadFailed, match="chat template, line 2"):
        ChatTemplate("a\n{% for %}", {})
