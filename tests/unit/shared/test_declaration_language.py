"""The declaration of a language model."""

import re
from dataclasses import replace

import pytest

from shared.errors import LoadFailed
from shared.servable import Distribution, Generation, LanguageGraphs, ModelSpec

FILES = "['p1', 'p2'], 'd', 'argmax', 'topk'"


@pytest.fixture
def tokenizers(servables):
    """What lies beside the configuration."""
    folder = servables.path / "toy"
    (folder / "1").mkdir(parents=True)
    (folder / "tokenizer.json").write_text("{}")
    (folder / "1" / "chat.jinja").write_text("")
    return servables


def declared(arguments):
    call = f"register.declare_language_model({arguments})\n"
    return call.replace("FILES", FILES).replace("SIZES", "max_model_len=64, slots=4")


def test_a_servable_may_be_a_language_model_alone(tokenizers):
    servable = tokenizers.declare(declared("FILES, SIZES"), "toy")
    assert not servable.methods
    assert servable.language_model == ModelSpec(
        "toy",
        ("p1", "p2", "d", "argmax", "topk"),
        "mindir",
        with_batch_dim=True,
        language=LanguageGraphs(2, 1, True, True, 16, 16, "tokenizer.json"),
        generation=Generation(64, 4),
    )


def test_what_is_said_of_it_is_recorded(tokenizers):
    servable = tokenizers.declare(
        declared(
            "'p', ['d1', 'd2'], SIZES, block_size=8, blocks=7, eos_ids=[0, 2],"
            " adapters={'tuned': 1}, chat_template='chat.jinja', device_post_sampling=True,"
            " decode_cores=2,"
            " model_format='Reference', continuous=False, speculated_tokens=3, token_budget=9,"
            " prefix_cache=True, patience_seconds=600"
        ),
        "toy",
    )
    model = servable.language_model
    assert model.format == "reference"
    assert model.language == LanguageGraphs(
        1,
        2,
        block_size=8,
        blocks=7,
        tokenizer="tokenizer.json",
        device_post_sampling=True,
        decode_cores=2,
    )
    rules = {"token_budget": 9, "continuous": False, "prefix_cache": True, "speculated_tokens": 3}
    assert dict(model.generation.rules) == rules
    assert model.generation.adapters == (("tuned", 1),)
    assert model.generation.eos_ids == (0, 2)
    assert model.generation.chat_template == "chat.jinja"
    assert model.generation.patience_seconds == 600.0


def test_ranks_bring_the_files_that_are_named(tokenizers):
    servable = tokenizers.declare(declared("FILES, SIZES, rank_size=4"), "toy")
    whole = tokenizers.declare(declared("FILES, SIZES"), "toy").language_model
    assert servable.distribution == Distribution(4)
    assert servable.language_model == replace(whole, files=(), distribution=Distribution(4))


def test_it_may_stand_beside_methods_with_models_of_their_own(tokenizers):
    servable = tokenizers.declare(
        declared("FILES, SIZES")
        + "m = register.declare_model('m', 'mindir')\n"
        + "@register.register_method('y')\ndef predict(x):\n"
        + "    return register.add_stage(m, x, outputs_count=1)\n",
        "toy",
    )
    assert set(servable.models) == {"toy", "m"}
    assert servable.language_model.key == "toy"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (declared("FILES, max_model_len=1, slots=4"), "'max_model_len' should be >= 2"),
        (declared("FILES, max_model_len=64, slots=0"), "'slots' should be >= 1"),
        (declared("FILES, SIZES, blocks=0"), "'blocks' should be >= 1"),
        (declared("FILES, SIZES, block_size='a'"), "'block_size' should be int"),
        (declared("FILES, SIZES, eos_ids=[-1]"), "'eos_ids' should be >= 0"),
        (declared("FILES, SIZES, eos_ids=2**31"), "'eos_ids' should be in range"),
        (declared("FILES, SIZES, adapters={'toy': 1}"), "adapter 'toy' has the name of the serv"),
        (declared("FILES, SIZES, adapters={'a': 0}"), "adapters['a']' should be >= 1"),
        (declared("FILES, SIZES, adapters=['a']"), "'adapters' should be dict"),
        (declared("FILES, SIZES, continuous=1"), "'continuous' should be bool"),
        (declared("FILES, SIZES, patience_seconds=0"), "'patience_seconds' should be > 0"),
        (declared("FILES, SIZES, max_waiting=0"), "'max_waiting' should be >= 1"),
        (declared("FILES, SIZES, token_budget=4"), "'token_budget' should be > 'slots' 4"),
        (declared("FILES, SIZES, tokenizer='none'"), "tokenizer 'none' does not exist"),
        (declared("FILES, SIZES, tokenizer='../x'"), "must lie in the version directory"),
        (declared("FILES, SIZES, chat_template='none'"), "chat_template 'none' does not exist"),
        (declared("'p', 'p', SIZES"), "model file 'p' has already been used"),
        (declared("'p', 'd', '', SIZES"), "'argmax_model' should not be empty"),
        (declared("FILES, SIZES, model_format='x'"), "model format can only be"),
        (declared("FILES, SIZES") + declared("'x', 'y', SIZES"), "a language model already"),
        (declared("FILES, SIZES, rank_size=0"), "'rank_size' should be >= 1"),
        (
            "register.declare_model('m', 'mindir')\n" + declared("FILES, SIZES, rank_size=2"),
            "a distributed servable has no other model",
        ),
        (
            declared("FILES, SIZES, rank_size=2") + "register.declare_model('m', 'mindir')\n",
            "already been declared as distributed servable",
        ),
        (
            "register.declare_model('toy', 'mindir')\n" + declared("FILES, SIZES"),
            "another model is called 'toy'",
        ),
        (
            "register.declare_model('d', 'mindir')\n" + declared("FILES, SIZES"),
            "model file 'd' has already been used",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(tokenizers, text, words):
    with pytest.raises(LoadFailed, match=re.escape(words)):
        tokenizers.declare(text, "toy")


def test_it_is_no_stage(tokenizers):
    with pytest.raises(LoadFailed, match="'toy' is a language model"):
        tokenizers.declare(
            declared("FILES, SIZES")
            + "@register.register_method('y')\ndef predict(x):\n"
            + "    return register.add_stage(register.Model('toy'), x, outputs_count=1)\n",
            "toy",
        )
