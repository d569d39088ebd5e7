"""What is asked of language models, and answered, survives the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.serving.v1 import text_generation_pb2 as pb
from shared import text_generation as t
from shared.errors import AgentLost, InvalidRequest
from shared.membership import LanguageOffer, Offer, Offers
from shared.servable import ServableVersion
from shared.wire import text_codec as codec
from shared.wire import text_replies_codec as replies
from shared.wire.membership_codec import read_report, write_report

floats = st.floats(width=32, allow_nan=False)
small = st.integers(0, 2**31)
ids = st.lists(small, max_size=3).map(tuple)
texts = st.lists(st.text(), max_size=3).map(tuple)
grammars = st.one_of(
    st.builds(t.Grammar, st.sampled_from(["json_schema", "regex"]), st.text()),
    st.builds(t.Grammar, st.just("choices"), st.just(""), texts),
    st.just(t.Grammar("any_json")),
)
samplings = st.builds(
    t.Sampling, floats, small, st.none() | floats, floats, st.none() | floats, floats, floats,
    st.dictionaries(small, floats, max_size=3), st.none() | st.integers(0, 2**64 - 1), small, ids,
    st.none() | small, st.none() | small, ids, st.none() | grammars,
)  # fmt: skip
chats = st.builds(t.Chat, st.text(), st.text(), st.text(), st.booleans(), st.booleans())
flags = st.none() | st.booleans()
requests = st.builds(
    t.GenerateRequest, st.text(), st.text() | ids | chats, small, samplings, st.none() | small,
    texts, st.booleans(), st.booleans(), st.integers(1, 100), st.booleans(), small, st.text(),
    small, st.booleans(), st.booleans(), flags,
)  # fmt: skip
others = st.builds(t.Alternative, small, st.binary(), floats, st.booleans())
tokens = st.builds(
    t.Token, small, st.binary(), st.booleans(), st.none() | floats, small,
    st.lists(others, max_size=2).map(tuple),
)  # fmt: skip
many_tokens = st.lists(tokens, max_size=3).map(tuple)
answers = st.builds(
    t.GenerateReply,
    st.lists(
        st.builds(
            t.Piece, small, st.text(), ids, st.text(), st.text(), st.text(), many_tokens
        ),
        max_size=3,
    ).map(tuple),
    st.none() | st.builds(t.Usage, small, small, small, floats, floats, floats),
    st.none() | st.builds(t.ReadPrompt, st.text(), many_tokens),
)  # fmt: skip


@given(requests)
def test_requests(request):
    assert codec.read_generate(codec.write_generate(request)) == request


@given(answers)
def test_replies(reply):
    assert replies.read_reply(replies.write_reply(reply)) == reply


@given(st.text(), st.sampled_from(["", "stop", "length", "abort"]))
def test_a_reply_tells_which_error_ended_a_choice(text, reason):
    # Its text may be what an error looks like.
    good = t.Piece(0, text + "*\x05error", (1,), reason)
    assert replies.failure_in(replies.write_reply(t.GenerateReply((good,)))) is None
    bad = t.Piece(1, text, finish_reason="error", error="AgentLost: rank 1: gone")
    failure = replies.failure_in(replies.write_reply(t.GenerateReply((good, bad, good))))
    assert (type(failure), str(failure)) == (AgentLost, "rank 1: gone")


@given(st.builds(t.TokenizeRequest, st.text(), st.text() | chats, small, flags))
def test_requests_for_tokens(request):
    assert codec.read_tokenize(codec.write_tokenize(request)) == request


@given(st.builds(t.DetokenizeRequest, st.text(), ids, small, st.booleans()))
def test_requests_for_text(request):
    assert codec.read_detokenize(codec.write_detokenize(request)) == request


def test_answers_about_tokens():
    found = t.Tokens((1, 2), ("a", "b"), (0, 1), (1, 2), 64)
    assert replies.read_tokens(replies.write_tokens(found)) == found
    assert replies.read_text(replies.write_text("ä")) == "ä"


@pytest.mark.parametrize("message", [b"\xff", pb.GenerateRequest(model="m").SerializeToString()])
def test_what_is_no_request_is_refused(message):
    with pytest.raises(InvalidRequest):
        codec.read_generate(message)


@pytest.mark.parametrize("name", ["token_ids", "stop_ids", "allowed_ids", "logit_bias"])
def test_more_than_can_be_looked_at_is_refused(name):
    most = t.MOST_BIASES if name == "logit_bias" else t.MOST_TOKENS

    def asked(count):
        if name == "token_ids":
            message = pb.GenerateRequest(model="m", token_ids=pb.TokenIds(ids=range(count)))
        else:
            value = dict.fromkeys(range(count), 1.0) if name == "logit_bias" else range(count)
            message = pb.GenerateRequest(model="m", text="a", sampling={name: value})
        return message.SerializeToString()

    assert codec.read_generate(asked(most))
    with pytest.raises(InvalidRequest, match=f"{name}: expected at most {most}"):
        codec.read_generate(asked(most + 1))


def test_no_choices_are_one():
    asked = pb.GenerateRequest(model="m", text="a").SerializeToString()
    assert codec.read_generate(asked).n == 1


@pytest.mark.parametrize("language", [None, LanguageOffer(("a", "b"), 64, 4, True, 5, "CPU")])
def test_offers_of_language_models(language):
    offers = Offers((Offer(ServableVersion("s", 1), {}, 5, language),))
    assert read_report(write_report(offers), peer_host="") == offers
