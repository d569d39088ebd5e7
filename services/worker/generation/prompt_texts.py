"""What a request wants to be continued, as tokens; and what is told of it."""

from dataclasses import dataclass, field

from services.worker.generation.choices import token_of
from services.worker.generation.steps import Logprobs
from services.worker.language.files import Language
from services.worker.language.tokenizer import Encoded, Tokenizer
from shared.errors import InvalidRequest
from shared.text_generation import Chat, GenerateRequest, ReadPrompt, Token

# Longer texts than so many times what fits, if each token were the longest one, are not read.
_ROOM_FOR_NORMALIZERS = 4


@dataclass(slots=True)
class PromptText:
    """A prompt as the model gets it."""

    ids: tuple[int, ...]
    text: str
    logprobs: dict[int, Logprobs] = field(default_factory=dict)
    """By position: what its tokens' likelihood is, as it becomes known."""

    def note(self, position: int, logprobs: tuple[Logprobs, ...]) -> None:
        """How likely tokens from a position on were."""
        self.logprobs |= enumerate(logprobs, position)

    def told(self, tokenizer: Tokenizer) -> ReadPrompt:
        """What callers are told of it."""
        tokens: tuple[Token, ...] = tuple(
            token_of(tokenizer, token, self.logprobs.get(position))
            for position, token in enumerate(self.ids)
        )
        return ReadPrompt(self.text, tokens)


async def read_prompt(
    what: str, language: Language, request: GenerateRequest, most: int
) -> PromptText:
    """The tokens of a prompt of which ``most`` fit.

    Raises InvalidRequest for a chat that the model's template does not take, or a text that is
    far too long to be looked at.
    """
    tokenizer = language.tokenizer
    if isinstance(request.prompt, tuple):
        ids, text = request.prompt, ""
    else:
        encoded, text = await encode(
            what, language, request.prompt, request.add_special_tokens,
            most=0 if request.truncate_prompt_tokens else most,
        )  # fmt: skip
        ids = tuple(encoded.ids)
    cut = request.truncate_prompt_tokens
    is_cut = 0 < cut < len(ids)
    if is_cut:
        ids = ids[-cut:]
    if request.prompt_details and (is_cut or isinstance(request.prompt, tuple)):
        text = await tokenizer.decode(ids, skip_special_tokens=False)
    return PromptText(ids, text)


async def encode(
    what: str,
    language: Language,
    prompt: str | Chat,
    add_special_tokens: bool | None,
    *,
    most: int = 0,
) -> tuple[Encoded, str]:
    """The tokens of a text or a chat, and the text; ``most``: how many may be of use, 0: all."""
    if isinstance(prompt, Chat):
        if language.template is None:
            raise InvalidRequest(f"{what}: it has no chat template, ask it with a text")
        text = await language.template.render(prompt)
    else:
        text = prompt
    longest = most * language.tokenizer.longest * _ROOM_FOR_NORMALIZERS
    if most and len(text) > longest:
        raise InvalidRequest(
            f"{what}: prompt: a text of {len(text)} characters cannot fit into {most} tokens"
        )
    if add_special_tokens is None:
        add_special_tokens = not isinstance(prompt, Chat)
    return await language.tokenizer.encode(text, add_special_tokens=add_special_tokens), text
