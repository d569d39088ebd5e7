"""llm-serving's bodies as requests, what it took and did not do, and its answers."""

import pytest

from services.master.rest.statuses import InvalidField
from services.master.rest.text.answer import Caller
from services.master.rest.text.original import read, write_failure
from shared.errors import AgentLost
from shared.text_generation import GenerateReply, Piece, Token, Usage

CALLER = Caller("7", 1000, model="tiny")


def asked(streams=None, **parameters):
    return read({"inputs": "a", "parameters": parameters}, CALLER, streams=streams)


def request_of(**parameters):
    (request,) = asked(**parameters).requests
    return request


def test_what_is_not_said_is_as_its_document_says():
    request = request_of()
    assert (request.model, request.max_new_tokens) == ("tiny", 300)
    assert request.sampling.temperature == 0.0
    assert (request_of(do_sample=True).sampling.temperature) == 1.0
    assert (request_of(do_sample=True).sampling.top_k) == 3


def test_parameters_that_it_did_nothing_with_do_what_they_say():
    request = request_of(
        do_sample="True", temperature=0.5, top_k=7, top_p=0.9, repetition_penalty=1.3, seed=5,
        stop=["x", "y"], truncate=3, max_new_tokens=4,
    )  # fmt: skip
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_k, sampling.top_p) == (0.5, 7, 0.9)
    assert (sampling.repetition_penalty, sampling.seed) == (1.3, 5)
    assert (request.stop, request.truncate_prompt_tokens) == (("x", "y"), 3)
    assert request.max_new_tokens == 4


def test_what_changes_nothing_is_passed_over():
    plain = {"decoder_input_details": False, "details": True, "typical_p": 1, "watermark": "False"}
    assert request_of(**plain) == request_of()


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens"), ({"max_new_tokens": -1}, "max_new_tokens"),
        ({"temperature": -1, "do_sample": True}, "temperature"), ({"top_p": 1.1}, "top_p"),
        ({"top_k": -1}, "top_k"), ({"repetition_penalty": -2}, "repetition_penalty"),
        ({"watermark": True}, "watermark"), ({"typical_p": 0.9}, "typical_p"),
        ({"do_sample": 1}, "do_sample"), ({"seed": "x"}, "seed"), ({"truncate": True}, "truncate"),
    ],
)  # fmt: skip
def test_nothing_is_corrected_in_silence(parameters, name):
    with pytest.raises(InvalidField) as raised:
        asked(**parameters)
    assert raised.value.name == f"parameters.{name}"


@pytest.mark.parametrize("body", [{}, {"inputs": ""}, {"inputs": None}, {"inputs": ["a"]}])
def test_an_empty_prompt_is_refused(body):
    with pytest.raises(InvalidField) as raised:
        read(body, CALLER)
    assert raised.value.name == "inputs"


def answered(text, reason, *, stopped_by="", **parameters):
    """The events and the whole of an answer whose characters are tokens."""
    answer = asked(**parameters).answer
    events = []
    for place, character in enumerate(text):
        is_last = place == len(text) - 1
        token = Token(ord(character), character.encode(), logprob=-0.25, rank=1)
        piece = Piece(
            0, character, (ord(character),), reason if is_last else "",
            stopped_by if is_last else "", tokens=(token,),
        )  # fmt: skip
        events += answer.add(0, GenerateReply((piece,)))
    if not text:
        events += answer.add(0, GenerateReply((Piece(0, finish_reason=reason),)))
    answer.add(0, GenerateReply(usage=Usage(1, len(text))))
    return [*events, *answer.end()], answer.whole()


def test_the_last_tokens_text_is_told():
    events, whole = answered("abc", "length")
    pieces = [each["data"][0]["generated_text"] for each in events]
    assert pieces == ["a", "b", "c"]
    assert (whole["generated_text"], whole["generated_tokens"]) == ("abc", 3)
    assert [each["logprob"] for each in whole["tokens"]] == [-0.25] * 3


EURO = "€".encode()


def piece(text, *tokens, reason="", stopped_by=""):
    return Piece(0, text, finish_reason=reason, stopped_by=stopped_by, tokens=tokens)


@pytest.mark.parametrize(
    "pieces",
    [
        # Half a character at the end, which comes with its token or after it.
        [piece("", Token(1, EURO[:2])), piece("\ufffd", reason="length")],
        [piece("\ufffd", Token(1, EURO[:2]), reason="length")],
        # What ends a text is no part of it.
        [piece("a", Token(1, b"a")), piece("", Token(2, b"<end>", special=True), reason="stop")],
        [piece("a", Token(1, b"abc"), reason="stop", stopped_by="b")],
        # Tokens that came together.
        [piece("€a", Token(1, EURO[:1]), Token(2, EURO[1:]), Token(3, b"a"), reason="length")],
    ],
)
def test_the_pieces_of_a_stream_are_the_text(pieces):
    answer = asked().answer
    events = [event for piece in pieces for event in answer.add(0, GenerateReply((piece,)))]
    told = "".join(event["data"][0]["generated_text"] for event in events)
    assert told == answer.whole()["generated_text"] == "".join(piece.text for piece in pieces)
    assert len(answer.whole()["tokens"]) == sum(len(piece.tokens) for piece in pieces)


def test_the_whole_text_comes_at_the_end_if_it_is_wanted():
    events, _ = answered("abc", "length", return_full_text=True)
    assert events[-1]["data"][0]["generated_text"] == "abc"
    assert len(events[-1]["data"][0]["tokens"]) == 3


def test_a_text_without_a_token_is_an_answer():
    events, whole = answered("", "stop")
    assert events == []
    assert (whole["generated_text"], whole["generated_tokens"]) == ("", 0)
    assert (whole["prefill"], whole["tokens"], whole["top_tokens"]) == ([], [], [[]])


@pytest.mark.parametrize(
    ("reason", "stopped_by", "told"),
    [("stop", "", "eos"), ("stop", "c", "stop"), ("length", "", "length")],
)
def test_why_a_text_ended_is_told_in_its_words(reason, stopped_by, told):
    _, whole = answered("abc", reason, stopped_by=stopped_by)
    assert whole["finish_reason"] == told


def test_a_failure_is_what_its_client_looks_for():
    assert write_failure(AgentLost("the agent died")) == {"error": "the agent died"}
