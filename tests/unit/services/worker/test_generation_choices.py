"""What a choice says of its tokens, and where it ends."""

from hypothesis import given
from hypothesis import strategies as st

from services.worker.generation.choices import Choice, joined
from services.worker.generation.continuations import News
from services.worker.generation.prompts import Limits
from services.worker.generation.sequences import Finish
from services.worker.generation.steps import Logprobs
from shared.errors import AgentLost
from shared.text_generation import GenerateRequest, Piece

END = 256


class Bytes:
    """A token is a byte; one ends texts."""

    special = frozenset({END})

    def bytes_of(self, token):
        return b"<end>" if token == END else bytes([token])


def choice(limits=None, **request):
    limits = limits or Limits(100, eos_ids=frozenset({END}))
    return Choice(0, Bytes(), limits, GenerateRequest("m", "", **request))


@given(raw=st.binary(max_size=40), cuts=st.lists(st.integers(1, 5)))
def test_pieces_are_the_text_of_all_bytes(raw, cuts):
    made = choice()
    told, at = "", 0
    for cut in [*cuts, 100]:
        piece = made.take(News(tuple(raw[at : at + cut])))
        assert "\ufffd" not in piece.text or b"\xef\xbf\xbd" in raw or not is_text(raw)
        told, at = told + piece.text, at + cut
    told += made.take(News((), Finish.LENGTH)).text
    assert told == raw.decode(errors="replace")


def is_text(raw):
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_half_a_character_is_held_back():
    made = choice()
    first, second = "é".encode()
    assert made.take(News((first,))).text == ""
    assert made.take(News((second,))).text == "é"


def test_what_was_held_back_comes_at_the_end():
    made = choice(stop=("xyz",))
    assert made.take(News(tuple(b"ax"))).text == "a"
    last = made.take(News((0xC3,), Finish.LENGTH))
    assert (last.text, last.finish_reason) == ("x\ufffd", "length")


def test_a_stop_text_ends_a_choice_though_the_engine_goes_on():
    made = choice(stop=("b",))
    piece = made.take(News(tuple(b"abc")))
    assert piece == Piece(0, "a", tuple(b"ab"), "stop", "b")
    assert made.generated == 2


def test_stop_texts_count_from_the_least_number_of_tokens_on():
    made = choice(Limits(100, min_tokens=3), stop=("b",))
    assert made.take(News(tuple(b"abab"))).text == "aba"


def test_the_token_that_ends_a_text_is_told_and_not_read():
    assert choice().take(News((97, END), Finish.STOP)) == Piece(0, "a", (97, END), "stop")
    kept = choice(include_stop=True, skip_special_tokens=False)
    assert kept.take(News((97, END), Finish.STOP)).text == "a<end>"
    # In the midst of a text it is a token as others.
    through = choice(skip_special_tokens=False, ignore_eos=True)
    assert through.take(News((END, 97))).text == "<end>a"


def test_details_and_errors_are_told():
    told = Logprobs(-0.5, 2, (98, END), (-0.1, -0.3))
    piece = choice(details=True).take(News((97, 98), logprobs=(told, told)))
    assert [(each.id, each.text, each.logprob, each.rank) for each in piece.tokens] == [
        (97, b"a", -0.5, 2), (98, b"b", -0.5, 2),
    ]  # fmt: skip
    other, end = piece.tokens[0].alternatives
    assert (other.text, other.special, end.special) == (b"b", False, True)
    failed = choice().take(News((), Finish.ERROR, AgentLost("gone")))
    assert (failed.finish_reason, failed.error) == ("error", "AgentLost: gone")


def test_pieces_that_nobody_took_are_joined():
    first, second = Piece(0, "a", (1,)), Piece(0, "b", (2,), "stop", "x")
    assert joined(first, second) == Piece(0, "ab", (1, 2), "stop", "x")
