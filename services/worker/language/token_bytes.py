"""(pure) The bytes that each token of a tokenizer adds to a text.

A token may be part of a character, so texts are put together from bytes.
"""

from collections.abc import Callable, Mapping
from typing import Any

_PREFIX, _SPACE = "##", "▁"
# What the library's byte-level tokenizers write bytes as that are not printable.
_FIRST_SPARE = 256


def bytes_of_tokens(
    described: Mapping[str, Any], vocabulary: Mapping[str, int], special: frozenset[int]
) -> list[bytes]:
    """One for each id up to the largest; ids that no token has add nothing.

    ``described`` is tokenizer.json, whose decoder says how tokens are written in ``vocabulary``.
    """
    read = _reading(_kinds(described.get("decoder") or {}))
    plain = {each["id"] for each in described.get("added_tokens") or ()} | special
    found = [b""] * (1 + max(vocabulary.values(), default=-1))
    for token, number in vocabulary.items():
        found[number] = token.encode(errors="replace") if number in plain else read(token)
    return found


def _kinds(decoder: Mapping[str, Any]) -> set[str]:
    kinds = {str(decoder.get("type"))}
    for each in decoder.get("decoders") or ():
        kinds |= _kinds(each)
    return kinds


def _reading(kinds: set[str]) -> Callable[[str], bytes]:
    if "ByteLevel" in kinds:
        return _read_byte_level
    if "WordPiece" in kinds:
        return _read_word_piece
    return _read_with_spaces


def _byte_of_letter() -> dict[str, int]:
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    letters, spare = {}, _FIRST_SPARE
    for byte in range(256):
        if byte in printable:
            letters[chr(byte)] = byte
        else:
            letters[chr(spare)] = byte
            spare += 1
    return letters


_BYTES = _byte_of_letter()


def _read_byte_level(token: str) -> bytes:
    try:
        return bytes([_BYTES[letter] for letter in token])
    except KeyError:
        return token.encode(errors="replace")


def _read_word_piece(token: str) -> bytes:
    rest = token.removeprefix(_PREFIX)
    return (rest if rest != token else f" {token}").encode(errors="replace")


def _read_with_spaces(token: str) -> bytes:
    """As SentencePiece writes them: ``▁`` is a blank, ``<0x0A>`` a byte."""
    if len(token) == len("<0x00>") and token.startswith("<0x") and token.endswith(">"):
        try:
            return bytes.fromhex(token[3:5])
        except ValueError:
            pass
    return token.replace(_SPACE, " ").encode(errors="replace")
