"""What a text must be, by llguidance: which tokens may follow, of those that came before."""

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.agent.generation.sampling import NoToken
from services.agent.generation.steps import Grammar
from shared.errors import LoadFailed

Mask = NDArray[np.bool_]

# Between JSON's signs: a space, or a new line and what it is indented by. More of it would let
# a model that finds no end write blanks for ever.
_JSON = {"whitespace_pattern": r" |\n[ \t]{0,32}"}
_OBJECT = '{"type": "object"}'
# Of special tokens, by number; the sign is for private use.
_NAME = "\ue000{}\ue000"
# Compiled grammars that are kept, for requests with the same one.
_MOST_KEPT = 64
_LONGEST_REASON = 300


class GrammarError(ValueError):
    """A grammar that cannot be used; the text says why."""


class Matcher:
    """One text that must fit a grammar, token by token."""

    def __init__(
        self, matcher: Any, vocabulary: int, known: int, stop_ids: tuple[int, ...]
    ) -> None:
        """Of the ``vocabulary`` of the graphs, the tokenizer knows the first ``known``."""
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._known = min(known, vocabulary)
        self._stop_ids = stop_ids
        # A bit for each token and for the end, in words of 32.
        self._bits = np.zeros(4 * (known // 32 + 1), np.uint8)
        self._ended = False

    @property
    def complete(self) -> bool:
        """Whether nothing more may follow."""
        return self._ended or bool(self._matcher.is_stopped())

    @property
    def fits(self) -> bool:
        """Whether the text may end here."""
        return self._ended or bool(self._matcher.is_accepting())

    def allowed(self) -> Mask:
        """Which tokens may follow, bool [V]: stop ids where the text may end."""
        if self._ended:
            return np.zeros(self._vocabulary, np.bool_)
        self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
        self._check()
        known = np.unpackbits(self._bits, count=self._known, bitorder="little")
        mask = np.zeros(self._vocabulary, np.bool_)
        mask[: len(known)] = known
        if self._stop_ids and self.fits:
            mask[list(self._stop_ids)] = True
        return mask

    def took(self, token: int) -> None:
        """This token follows; raises NoToken when the grammar does not allow it."""
        if token in self._stop_ids and self.fits:
            self._ended = True
            return
        if not self._matcher.consume_token(token):
            self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise NoToken(f"grammar: {_one_line(self._matcher.get_error())}")


class Grammars:
    """Compiles grammars for one tokenizer, whose ids are those of the graphs."""

    def __init__(self, tokenizer: Path, vocabulary: int) -> None:
        """Raises LoadFailed when there is no such tokenizer, or llguidance is not installed."""
        try:
            import llguidance  # noqa: PLC0415 (only device processes that need it pay for it)
        except ImportError as failure:
            raise LoadFailed(
                "llguidance is not installed here: pip install mindserve[generation]"
            ) from failure
        self._matcher: Any = llguidance.LLMatcher
        self._vocabulary = vocabulary
        self._tokenizer, self._known = _with_end(tokenizer, llguidance.LLTokenizer)
        self._kept: OrderedDict[Grammar, Any] = OrderedDict()

    def matcher(self, grammar: Grammar, stop_ids: tuple[int, ...], generated: list[int]) -> Matcher:
        """For a text of which ``generated`` is there.

        Raises GrammarError when the grammar cannot be compiled, NoToken when the text breaks it.
        """
        compiled = self._compiled(grammar)
        matcher = Matcher(compiled.deep_copy(), self._vocabulary, self._known, stop_ids)
        for token in generated:
            matcher.took(token)
        return matcher

    def _compiled(self, grammar: Grammar) -> Any:
        if grammar in self._kept:
            self._kept.move_to_end(grammar)
            return self._kept[grammar]
        compiled = self._matcher(self._tokenizer, self._written(grammar), log_level=0)
        if compiled.is_error():
            raise GrammarError(f"{grammar.form}: {_one_line(compiled.get_error())}")
        self._kept[grammar] = compiled
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return compiled

    def _written(self, grammar: Grammar) -> str:
        """In llguidance's own form."""
        written: str
        match grammar.form:
            case "regex":
                written = self._matcher.grammar_from_regex(grammar.texts[0])
            case "choices":
                if not grammar.texts:
                    raise GrammarError("choices: expected at least one, got none")
                texts = (json.dumps(text, ensure_ascii=False) for text in grammar.texts)
                written = self._matcher.grammar_from_lark(f"start: {' | '.join(texts)}")
            case _:
                schema = grammar.texts[0] if grammar.texts else _OBJECT
                try:
                    read = json.loads(schema)
                    if not isinstance(read, dict | bool):
                        raise ValueError("a schema is an object, true or false")
                    written = self._matcher.grammar_from_json_schema(schema, overrides=_JSON)
                except (ValueError, RecursionError) as failure:
                    raise GrammarError(f"{grammar.form}: {_one_line(str(failure))}") from None
        return written


def _with_end(path: Path, tokenizer_type: Any) -> tuple[Any, int]:
    """The tokenizer with one more token that no text has, and how many it had before.

    llguidance wants a token for the end of a text; which one ends it differs by request. Where a
    grammar leaves no choice it tokenises what must follow: then a special token's name in it
    would be that token, so they get names that no text has.
    """
    try:
        described = json.loads(path.read_text())
        added = described.setdefault("added_tokens", [])
        vocabulary = described["model"]["vocab"]
        end = 1 + max(*vocabulary.values(), *(each["id"] for each in added))
        for special in added:
            if special["special"]:
                vocabulary.pop(special["content"], None)
                special["content"] = _NAME.format(special["id"])
        plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        added.append({"id": end, "content": _NAME.format(end), "special": True} | plain)
        vocabulary |= {each["content"]: each["id"] for each in added if each["special"]}
        return tokenizer_type(json.dumps(described), eos_token=end), end
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else _one_line(str(failure))
        raise LoadFailed(f"tokenizer '{path.name}': {reason}") from failure


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_REASON else line[:_LONGEST_REASON] + " ..."
