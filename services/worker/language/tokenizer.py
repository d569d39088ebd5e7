"""Text to tokens and back, by the tokenizer.json of a language model."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from services.worker.language.token_bytes import bytes_of_tokens
from shared.errors import InvalidRequest, LoadFailed

# Shorter texts are quicker than the way to a thread and back.
_LONG_TEXT = 1024


class Encoded(NamedTuple):
    """The tokens of a text; where each begins and ends, in characters."""

    ids: list[int]
    texts: list[str]
    places: list[tuple[int, int]]


class Tokenizer:
    """Made once for a model; encodes long texts on a thread, without the interpreter's lock."""

    def __init__(self, path: Path) -> None:
        """Raises LoadFailed naming the file that is no tokenizer; reads it, so use a thread."""
        library = _library()
        try:
            self._tokenizer: Any = library.Tokenizer.from_file(str(path))
            described = json.loads(path.read_bytes())
        except Exception as failure:  # the library raises Exception itself
            reason = str(failure).splitlines()[0][:200] if str(failure) else type(failure).__name__
            raise LoadFailed(f"tokenizer '{path.name}': {reason}") from failure
        # Of a tokenizer that cuts or fills texts for training, prompts are read as they are.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        added = self._tokenizer.get_added_tokens_decoder()
        self.special = frozenset(number for number, each in added.items() if each.special)
        """Tokens that stand for no text."""
        self._bytes = bytes_of_tokens(described, self._tokenizer.get_vocab(), self.special)
        self.longest = max(map(len, self._bytes), default=1)
        """The most bytes that one token adds to a text."""

    def bytes_of(self, token: int) -> bytes:
        """What a token adds to a text, as UTF-8; it may begin and end within a character."""
        return self._bytes[token] if token < len(self._bytes) else b""

    def number_of(self, token: str) -> int | None:
        """The id of a token by its name."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found

    async def encode(self, text: str, *, add_special_tokens: bool, last: int = 0) -> list[int]:
        """The tokens of a text, or so many of them, the last ones."""
        if len(text) < _LONG_TEXT:
            return self._ids(text, add_special_tokens, last)
        return await asyncio.to_thread(self._ids, text, add_special_tokens, last)

    async def encode_with_places(self, text: str, *, add_special_tokens: bool) -> Encoded:
        """The tokens of a text, their names, and where they are in it."""
        return await asyncio.to_thread(self._encoded, text, add_special_tokens)

    def _ids(self, text: str, add_special_tokens: bool, last: int) -> list[int]:
        encoding = self._encode(text, add_special_tokens)
        if last:
            # Many ids cost more to be handed over than to be found.
            encoding.truncate(last, direction="left")
        ids: list[int] = encoding.ids
        return ids

    def _encoded(self, text: str, add_special_tokens: bool) -> Encoded:
        encoding = self._encode(text, add_special_tokens)
        return Encoded(encoding.ids, encoding.tokens, encoding.offsets)

    def _encode(self, text: str, add_special_tokens: bool) -> Any:
        try:
            # encode_batch lets go of the interpreter's lock, encode does not.
            return self._tokenizer.encode_batch([text], add_special_tokens=add_special_tokens)[0]
        except TypeError:
            # So the library says that half of a surrogate pair is no text.
            raise InvalidRequest("prompt: expected a text in Unicode") from None

    async def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        """The text of tokens."""
        if len(ids) < _LONG_TEXT:
            return self._decode(ids, skip_special_tokens)
        return await asyncio.to_thread(self._decode, ids, skip_special_tokens)

    def _decode(self, ids: Sequence[int], skip_special_tokens: bool) -> str:
        text: str = self._tokenizer.decode_batch(
            [list(ids)], skip_special_tokens=skip_special_tokens
        )[0]
        return text


def _library() -> Any:
    try:
        import tokenizers  # noqa: PLC0415 (only workers with language models need it)
    except ImportError as failure:
        raise LoadFailed(
            "tokenizers is not installed here: pip install mindserve[generation]"
        ) from failure
    return tokenizers
