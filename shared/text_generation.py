"""(pure) What is asked of a language model, and what comes of it.

The words of ``protos/serving/v1/text_generation.proto``; its comments hold here too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Grammar:
    """What a text must be: one of four forms."""

    form: Literal["json_schema", "regex", "choices", "any_json"]
    source: str = ""
    """The schema as JSON, or the regular expression."""
    texts: tuple[str, ...] = ()
    """The choices."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen."""

    temperature: float = 1.0
    """0: the most likely token."""
    top_k: int = 0
    top_p: float | None = None
    min_p: float = 0.0
    repetition_penalty: float | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None
    min_tokens: int = 0
    stop_ids: tuple[int, ...] = ()
    logprobs: int | None = None
    """So many alternatives beside each chosen token's own."""
    prompt_logprobs: int | None = None
    allowed_ids: tuple[int, ...] = ()
    grammar: Grammar | None = None


@dataclass(frozen=True, slots=True)
class Chat:
    """What a chat template makes a prompt of; JSON, as it came."""

    messages_json: str
    tools_json: str = ""
    template_arguments_json: str = ""
    continue_last: bool = False
    no_answer: bool = False
    """Do not begin an answer after the last message."""


MOST_CHOICES = 128
"""Of one prompt."""
MOST_TOKENS = 1 << 20
"""Of a prompt, and of every other list of token ids."""
MOST_BIASES = 1024
"""Tokens whose logits a request changes."""

Prompt = str | tuple[int, ...] | Chat
"""A text, token ids, or messages."""


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """A prompt that is to be continued."""

    model: str
    prompt: Prompt
    version: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    max_new_tokens: int | None = None
    """None: as many as fit."""
    stop: tuple[str, ...] = ()
    include_stop: bool = False
    ignore_eos: bool = False
    n: int = 1
    skip_special_tokens: bool = True
    priority: int = 0
    cache_salt: str = ""
    truncate_prompt_tokens: int = 0
    details: bool = False
    """Tell of each token, beside the text."""
    prompt_details: bool = False
    add_special_tokens: bool | None = None


@dataclass(frozen=True, slots=True)
class Alternative:
    """A token that might have been chosen."""

    id: int
    text: bytes
    logprob: float
    special: bool = False


@dataclass(frozen=True, slots=True)
class Token:
    """One token, and how likely it was."""

    id: int
    text: bytes = b""
    """What it adds, as UTF-8; it may begin and end within a character."""
    special: bool = False
    logprob: float | None = None
    rank: int = 0
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """What came for one choice."""

    choice: int = 0
    text: str = ""
    token_ids: tuple[int, ...] = ()
    finish_reason: str = ""
    """stop, length, abort or error; empty: it goes on."""
    stopped_by: str = ""
    """The stop text; empty when it was a token."""
    error: str = ""
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens counted, and where the time went."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    queue_seconds: float = 0.0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ReadPrompt:
    """The prompt as the model got it."""

    text: str = ""
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True, slots=True)
class GenerateReply:
    """One message of the stream."""

    pieces: tuple[Piece, ...] = ()
    usage: Usage | None = None
    prompt: ReadPrompt | None = None


@dataclass(frozen=True, slots=True)
class TokenizeRequest:
    """A text or a chat whose tokens are wanted."""

    model: str
    prompt: str | Chat
    version: int = 0
    add_special_tokens: bool | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a text; where each begins and ends, in characters."""

    ids: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()
    begins: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    max_model_len: int = 0


@dataclass(frozen=True, slots=True)
class DetokenizeRequest:
    """Token ids whose text is wanted."""

    model: str
    ids: tuple[int, ...]
    version: int = 0
    skip_special_tokens: bool = False


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A language model that can be called."""

    name: str
    base: str
    """Of an adapter: its model."""
    version: int
    max_model_len: int
    slots: int
    outstanding: int
    """Requests in the hands of the one who is asked."""
    created: int
    chat: bool
    device_type: str
