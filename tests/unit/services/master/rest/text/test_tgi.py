"""TGI's bodies as requests, its texts of what is wrong, and its answers."""

import pytest

from services.master.rest.statuses import InvalidField, Unprocessable
from services.master.rest.text.answer import Caller
from services.master.rest.text.tgi import (
    read_generate,
    read_generate_stream,
    read_root,
    write_failure,
)
from services.master.rest.text.tgi import status as status_of
from shared import errors
from shared.text_generation import Alternative, GenerateReply, Grammar, Piece, Token, Usage

CALLER = Caller("7", 1000, seed=9)


def request_of(**parameters):
    (request,) = read_generate({"inputs": "a", "parameters": parameters}, CALLER).requests
    return request


@pytest.mark.parametrize(
    ("parameters", "temperature"),
    [
        ({}, 0.0), ({"do_sample": True}, 1.0), ({"temperature": 0.5}, 0.5), ({"top_k": 3}, 1.0),
        ({"top_p": 0.5}, 1.0), ({"do_sample": False, "temperature": 1.0}, 0.0),
    ],
)  # fmt: skip
def test_who_does_not_ask_for_sampling_gets_the_most_likely_text(parameters, temperature):
    assert request_of(**parameters).sampling.temperature == temperature


def test_parameters_find_their_place():
    request = request_of(
        max_new_tokens=5, stop=["x"], truncate=3, repetition_penalty=1.2, frequency_penalty=-1,
        top_k=4, top_p=0.9, top_n_tokens=2, decoder_input_details=True, seed=3, adapter_id="tuned",
        grammar={"type": "regex", "value": "[a-z]"},
    )  # fmt: skip
    sampling = request.sampling
    assert (request.model, request.max_new_tokens, request.stop) == ("tuned", 5, ("x",))
    assert (request.include_stop, request.truncate_prompt_tokens) == (True, 3)
    assert (sampling.repetition_penalty, sampling.frequency_penalty) == (1.2, -1.0)
    assert (sampling.top_k, sampling.top_p, sampling.seed) == (4, 0.9, 3)
    assert (sampling.logprobs, sampling.prompt_logprobs) == (2, 0)
    assert sampling.grammar == Grammar("regex", "[a-z]")
    assert request_of().max_new_tokens == 100
    assert request_of().sampling.seed == 9


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"temperature": 0}, "`temperature` must be strictly positive"),
        ({"repetition_penalty": -1}, "`repetition_penalty` must be strictly positive"),
        ({"top_k": 0}, "`top_k` must be strictly positive"),
        ({"max_new_tokens": 0}, "`max_new_tokens` must be strictly positive"),
        ({"truncate": 0}, "`truncate` must be strictly positive"),
        ({"top_p": 1.0}, "`top_p` must be > 0.0 and < 1.0"),
        ({"typical_p": 0.0}, "`typical_p` must be > 0.0 and < 1.0"),
        ({"typical_p": 0.5}, "`typical_p` is not supported"),
        ({"watermark": True}, "`watermark` is not supported"),
        ({"frequency_penalty": 3}, "`frequency_penalty` must be >= -2.0 and <= 2.0"),
        ({"stop": list("abcde")}, "`stop` supports up to 4 stop sequences. Given: 5"),
        ({"best_of": 3}, "`best_of` must be > 0 and <= 2. Given: 3"),
        ({"best_of": 2}, "you must use sampling when `best_of` is > 1"),
        ({"top_n_tokens": 6}, "`top_n_tokens` must be >= 0 and <= 5. Given: 6"),
        ({"grammar": {"type": "x"}}, "`grammar` must be json, json_schema or regex"),
    ],
)
def test_bounds_are_told_in_tgis_words(parameters, text):
    with pytest.raises(Unprocessable) as fault:
        request_of(**parameters)
    assert fault.value.message.startswith(f"Input validation error: {text}")
    assert write_failure(fault.value)["error_type"] == "validation"


@pytest.mark.parametrize(
    ("failure", "status", "kind"),
    [
        (InvalidField("inputs", "a text", 1), 422, "validation"),
        (errors.InvalidRequest("too long"), 422, "validation"),
        (errors.NotServed("no"), 404, "not_found"),
        (errors.Overloaded("full"), 429, "overloaded"),
        (errors.Unavailable("nobody"), 503, "overloaded"),
        (errors.ExecutionFailed("NaN"), 424, "generation"),
        (errors.WorkerLost("gone"), 502, "incomplete_generation"),
        (errors.InternalError("ours"), 500, "incomplete_generation"),
    ],
)
def test_failures_have_tgis_types(failure, status, kind):
    assert status_of(failure) == status
    assert write_failure(failure) == {"error": failure.message, "error_type": kind}


def test_half_characters_are_told_when_they_are_whole():
    answer = read_generate_stream({"inputs": "a"}, CALLER).answer
    euro = "€".encode()
    pieces = [
        Piece(0, "", tokens=(Token(1, euro[:2]),)),
        Piece(0, "€", tokens=(Token(2, euro[2:]),)),
    ]
    events = [event for piece in pieces for event in answer.add(0, GenerateReply((piece,)))]
    assert [event["token"]["text"] for event in events] == ["", "€"]


def test_half_a_character_at_the_end_is_told_too():
    answer = read_generate_stream({"inputs": "a"}, CALLER).answer
    piece = Piece(0, "b\ufffd", (1, 2), "length", tokens=(Token(1, b"b"), Token(2, b"\xe2")))
    events = [*answer.add(0, GenerateReply((piece,), Usage(1, 2))), *answer.end()]
    assert [event["token"]["text"] for event in events] == ["b", "\ufffd"]
    assert events[-1]["generated_text"] == "b\ufffd"


def test_a_sequence_that_ends_without_a_token_has_a_last_event_still():
    answer = read_root({"inputs": "a", "stream": True}, CALLER).answer
    first = GenerateReply((Piece(0, "b", tokens=(Token(5, b"b", logprob=-1.0),)),))
    last = GenerateReply((Piece(0, finish_reason="stop", stopped_by="b"),), Usage(1, 1))
    assert len(list(answer.add(0, first))) == 1
    assert list(answer.add(0, last)) == []
    (event,) = answer.end()
    assert (event["token"]["id"], event["token"]["text"]) == (5, "")
    assert event["generated_text"] == "b"
    assert event["details"]["finish_reason"] == "stop_sequence"


def test_the_best_of_two_is_the_more_likely_one():
    parameters = {"best_of": 2, "do_sample": True, "details": True, "top_n_tokens": 1}
    answer = read_generate({"inputs": "a", "parameters": parameters}, CALLER).answer
    for choice, logprob in ((0, -2.0), (1, -1.0)):
        others = (Alternative(6, b"c", -0.5), Alternative(7, b"<end>", -0.9, special=True))
        tokens = (Token(5, b"b", logprob=logprob, alternatives=others),)
        piece = Piece(choice, str(choice), tokens=tokens, finish_reason="length")
        assert list(answer.add(0, GenerateReply((piece,)))) == []
    whole = answer.whole()
    assert whole["generated_text"] == "1"
    (other,) = whole["details"]["best_of_sequences"]
    assert other["generated_text"] == "0"
    tops = whole["details"]["top_tokens"][0]
    assert [(each["id"], each["special"]) for each in tops] == [(6, False), (7, True)]
