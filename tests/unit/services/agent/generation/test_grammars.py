"""Whatever a model would rather say, its text fits the grammar; what is wrong fails alone."""

import json
import re
from dataclasses import replace

import pytest

from services.agent.generation.grammars import Grammars
from services.agent.generation.steps import Forward, Grammar, Sampling
from shared.errors import LoadFailed
from tests.support.language import GREEDY, Engine, bytes_tokenizer, load, only, toy

MERGED = ["tr", "tru", '{"', '":', "12", "ab", "aba"]
END = 256 + len(MERGED)
VOCABULARY = END + 9
"""Graphs have more tokens than the tokenizer knows."""

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "size": {"type": "integer", "minimum": 0, "maximum": 999},
        "tags": {"type": "array", "items": {"enum": ["a", "bb"]}, "maxItems": 3},
        "sure": {"type": "boolean"},
    },
    "required": ["name", "size", "tags", "sure"],
    "additionalProperties": False,
}
JSON = Grammar("json_schema", (json.dumps(SCHEMA),))
REGEX = r"(ab?a){2}-[0-9]{2,4}"
CHOICES = ("yes", "no", 'the "third"\n', "été")
LENGTH = 400


@pytest.fixture
def engine(tmp_path):
    files = toy(
        tmp_path,
        [(2, 8, LENGTH)],
        [(4, 1, LENGTH)],
        vocabulary=VOCABULARY,
        tokenizer=str(bytes_tokenizer(tmp_path, MERGED)),
    )
    return Engine(load(files))


def generate(engine, sampling, slot=0, prompt=(1, 2), most=LENGTH - 10):
    """The text that follows, up to where the grammar or a stop id ends it."""
    engine.send(starts=[engine.start(slot, prompt, sampling)])
    told = only(engine.send(prefills=[Forward(0, [engine.row(slot, 8)])]))
    tokens = list(told.tokens)
    while not told.complete and len(tokens) < most:
        told = only(engine.send(decode=Forward(1, [engine.row(slot)])))
        assert not told.failure, told.failure
        tokens += told.tokens
    assert told.complete, text_of(tokens)
    engine.send(freed=[slot])
    return tokens


def text_of(tokens):
    pieces = [bytes([each]) for each in range(256)] + [each.encode() for each in MERGED]
    return b"".join(pieces[token] for token in tokens if token != END).decode()


def kinds(grammar, **more):
    """Greedy, and drawn by several seeds."""
    yield Sampling(grammar=grammar, **more)
    for seed in range(6):
        yield Sampling(grammar=grammar, temperature=2.0, seed=seed, **more)


@pytest.mark.parametrize("stop_ids", [(), (END,)])
def test_json_fits_its_schema(engine, stop_ids):
    for sampling in kinds(JSON, stop_ids=stop_ids):
        read = json.loads(text_of(generate(engine, sampling)))
        assert set(read) == set(SCHEMA["properties"])
        assert len(read["name"]) <= 6
        assert 0 <= read["size"] <= 999
        assert set(read["tags"]) <= {"a", "bb"}
        assert isinstance(read["sure"], bool)


def test_a_text_fits_its_expression(engine):
    for sampling in kinds(Grammar("regex", (REGEX,))):
        assert re.fullmatch(REGEX, text_of(generate(engine, sampling)))


def test_a_text_is_one_of_the_choices(engine):
    found = {text_of(generate(engine, sampling)) for sampling in kinds(Grammar("choices", CHOICES))}
    assert found <= set(CHOICES)
    assert len(found) > 1


def test_any_object(engine):
    # The model would write for ever: it may only end an object that is one.
    sampling = Sampling(
        grammar=Grammar("any_json"), allowed_ids=tuple(b'{}":,1a'), logit_bias={125: 9.0}
    )
    assert isinstance(json.loads(text_of(generate(engine, sampling))), dict)


def test_a_stop_id_comes_where_the_text_may_end_and_nowhere_else(engine):
    open_ended = Grammar("regex", ("[0-9]{3}.*",))
    wants_to_stop = Sampling(grammar=open_ended, stop_ids=(END,), logit_bias={END: 100.0})
    tokens = generate(engine, wants_to_stop)
    assert tokens[-1] == END
    assert re.fullmatch("[0-9]{3,4}", text_of(tokens))  # a token may be two digits
    later = replace(wants_to_stop, min_tokens=9)
    assert len(generate(engine, later)) == 10


def test_a_text_that_may_not_stop_yet_and_cannot_go_on_is_complete(engine):
    sampling = Sampling(grammar=Grammar("choices", ("yes",)), stop_ids=(END,), min_tokens=50)
    assert text_of(generate(engine, sampling)) == "yes"
    empty = Sampling(grammar=Grammar("regex", ("",)))
    assert generate(engine, empty) == []


def test_rows_of_a_complete_text_are_passed_over_until_it_is_freed(engine):
    sampling = Sampling(grammar=Grammar("choices", ("a",)))
    engine.send(starts=[engine.start(0, [1], sampling), engine.start(1, [1])])
    told = engine.send(prefills=[Forward(0, [engine.row(0, 8), engine.row(1, 8)])])
    assert [each.complete for each in told.chosen] == [True, False]
    assert engine.texts[0] == [1, ord("a")]
    # The worker sent this one before it heard of the one before.
    told = engine.send(decode=Forward(1, [engine.row(0), engine.row(1)]))
    assert [(each.complete, len(each.tokens)) for each in told.chosen] == [(True, 0), (False, 1)]
    engine.send(freed=[0], decode=Forward(1, [engine.row(1)]))


def test_special_tokens_are_no_text(engine):
    sampling = Sampling(grammar=Grammar("regex", ("<end>[<]end>",)), logit_bias={END: 100.0})
    assert text_of(generate(engine, sampling)) == "<end><end>"


def test_speculation_gives_the_same_text(engine):
    for sampling in kinds(JSON):
        expected = generate(engine, sampling)
        engine.send(starts=[engine.start(1, [1, 2], sampling)])
        told = only(engine.send(prefills=[Forward(0, [engine.row(1, 8)])]))
        tokens = list(told.tokens)
        while not told.complete:
            guess = [*expected[len(tokens) : len(tokens) + 3], 5]
            row = engine.row(1, 1, guess)
            told = only(engine.send(prefills=[Forward(0, [row])]))
            engine.computed[1] += len(told.tokens) - 1
            tokens += told.tokens
        assert tokens == expected
        engine.send(freed=[1])


def test_a_text_that_was_put_off_goes_on_where_it_was(engine):
    for sampling in kinds(JSON):
        expected = generate(engine, sampling)
        middle = len(expected) // 2
        again = engine.start(2, [1, 2, *expected[:middle]], sampling, prompt_tokens=2)
        engine.send(starts=[again])
        while engine.computed[2] < middle + 2:
            told = engine.send(prefills=[Forward(0, [engine.row(2, 8)])])
        tokens = [*expected[:middle], *only(told).tokens]
        while not only(told).complete:
            told = engine.send(decode=Forward(1, [engine.row(2)]))
            tokens += only(told).tokens
        assert tokens == expected
        engine.send(freed=[2])


BAD = {
    "schema": (Grammar("json_schema", ('{"type": "thing"}',)), "json_schema: Invalid type: thing"),
    "no json": (Grammar("json_schema", ("{",)), "json_schema: Expecting property name"),
    "no schema": (Grammar("json_schema", ("[1]",)), "json_schema: a schema is an object, true or"),
    "unknown": (
        Grammar("json_schema", ('{"not": {"type": "string"}}',)),
        r'json_schema: Unimplemented keys: \["not"\]',
    ),
    "deep": (Grammar("json_schema", ("[" * 100_000,)), "json_schema: "),
    "regex": (Grammar("regex", ("(ab",)), "regex: .*unclosed group"),
    "no choices": (Grammar("choices"), "choices: expected at least one, got none"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_grammar_that_cannot_be_used_fails_its_sequence_when_it_starts(engine, case):
    grammar, expected = BAD[case]
    outcome = engine.send(
        starts=[engine.start(0, [1], Sampling(grammar=grammar)), engine.start(1, [1])],
        prefills=[Forward(0, [engine.row(1, 8)])],
    )
    by_slot = {chosen.slot: chosen for chosen in outcome.chosen}
    assert re.match(expected, by_slot[0].failure)
    assert len(by_slot[0].failure) < 400
    assert "\n" not in by_slot[0].failure
    assert len(by_slot[1].tokens) == 1


def test_a_text_that_breaks_its_grammar_cannot_be_started_again(engine):
    start = engine.start(0, [1, 2, *b"yesno"], Sampling(grammar=Grammar("choices", CHOICES)),
                         prompt_tokens=2)  # fmt: skip
    assert only(engine.send(starts=[start])).failure.startswith("grammar: ")


def test_a_model_without_a_tokenizer_knows_no_grammars(tmp_path):
    engine = Engine(load(toy(tmp_path)))
    start = engine.start(0, [1], Sampling(grammar=Grammar("any_json")))
    assert only(engine.send(starts=[start])).failure == (
        "grammar: the model was declared without a tokenizer"
    )


def test_neighbours_without_a_grammar_are_free(engine):
    engine.send(starts=[engine.start(0, [1], Sampling(grammar=JSON)), engine.start(1, [1], GREEDY)])
    engine.send(prefills=[Forward(0, [engine.row(0, 8), engine.row(1, 8)])])
    for _ in range(5):
        engine.send(decode=Forward(1, [engine.row(0), engine.row(1)]))
    assert engine.texts[0][1] in (ord("{"), 256 + MERGED.index('{"'))
    assert engine.texts[1][1] not in (ord("{"), 256 + MERGED.index('{"'))


def test_grammars_are_compiled_once(engine):
    grammars = engine.model._grammars
    one = grammars._compiled(JSON)
    assert grammars._compiled(Grammar("json_schema", (json.dumps(SCHEMA),))) is one
    for number in range(100):
        grammars._compiled(Grammar("regex", (f"a{number}",)))
    assert len(grammars._kept) == 64
    assert grammars._compiled(JSON) is not one


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "tokenizer 'tokenizer.json': No such file"),
        ("no", "tokenizer 'tokenizer.json': Expecting value"),
        ("[]", "tokenizer 'tokenizer.json': "),
        ('{"model": {"vocab": {"a": 0}}}', "tokenizer 'tokenizer.json': "),
    ],
)
def test_what_is_no_tokenizer_cannot_be_loaded(tmp_path, content, expected):
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(LoadFailed, match=expected) as caught:
        Grammars(path, 10)
    assert str(tmp_path) not in caught.value.message
