"""Tokens have the bytes that the library's own decoder makes of them."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.language.token_bytes import bytes_of_tokens
from services.worker.language.tokenizer import Tokenizer
from shared.errors import InvalidRequest, LoadFailed
from tests.support.language import bytes_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return Tokenizer(bytes_tokenizer(tmp_path_factory.mktemp("t"), merged=["th", "the"]))


@given(text=st.text(max_size=40))
def test_the_bytes_of_a_texts_tokens_are_the_text(tokenizer, text):
    async def check():
        ids = await tokenizer.encode(text, add_special_tokens=True)
        assert b"".join(map(tokenizer.bytes_of, ids)) == text.encode()
        assert await tokenizer.decode(ids, skip_special_tokens=True) == text

    asyncio.run(check())


async def test_long_texts_are_read_on_a_thread_and_alike(tokenizer):
    text = "the thé " * 2000
    ids = await tokenizer.encode(text, add_special_tokens=True)
    assert await tokenizer.decode(ids, skip_special_tokens=True) == text
    assert await tokenizer.encode(text, add_special_tokens=True, last=5) == ids[-5:]
    encoded = await tokenizer.encode_with_places(text, add_special_tokens=True)
    assert encoded.ids == ids
    assert "".join(text[begin:end] for begin, end in encoded.places[:4]) == "the thé"


async def test_special_tokens_are_known(tokenizer):
    (end,) = tokenizer.special
    assert tokenizer.number_of("<end>") == end
    assert tokenizer.bytes_of(end) == b"<end>"
    assert tokenizer.bytes_of(end + 1000) == b""
    assert tokenizer.longest == len(b"<end>")


async def test_what_is_no_unicode_is_refused(tokenizer):
    with pytest.raises(InvalidRequest, match="Unicode"):
        await tokenizer.encode("\ud800", add_special_tokens=True)


def test_tokens_as_sentencepiece_writes_them():
    described = {
        "decoder": {
            "type": "Sequence",
            "decoders": [{"type": "Replace"}, {"type": "ByteFallback"}],
        },
        "added_tokens": [{"id": 3, "content": "<s>▁"}],
    }
    vocabulary = {"▁the": 0, "<0xE2>": 1, "<0xzz>": 2, "<s>▁": 3, "é": 5}
    found = bytes_of_tokens(described, vocabulary, frozenset())
    assert found == [b" the", b"\xe2", b"<0xzz>", "<s>▁".encode(), b"", "é".encode()]


def test_tokens_as_wordpiece_writes_them():
    found = bytes_of_tokens({"decoder": {"type": "WordPiece"}}, {"un": 0, "##til": 1}, frozenset())
    assert found == [b" un", b"til"]


@pytest.mark.parametrize("content", ["", "{}", "no json", '{"model": 1}'])
def test_what_is_no_tokenizer_is_named(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(LoadFailed, match=r"^tokenizer 'tokenizer\.json': "):
        Tokenizer(tmp_path / "tokenizer.json")


def test_a_tokenizer_that_is_not_there_is_named_without_its_folder(tmp_path):
    with pytest.raises(LoadFailed) as failure:
        Tokenizer(tmp_path / "tokenizer.json")
    assert str(tmp_path) not in failure.value.message
