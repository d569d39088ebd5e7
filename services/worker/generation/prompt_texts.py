"""What a request wants to be continued, as tokens; and what is told of it."""

from dataclasses import dataclass, field

from services.worker.generation.choices import token_of
from services.worker.generation.steps import Logprobs
from services.worker.language.files import Language
from services.worker.language.tokenizer import Tokenizer
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
    tokenizer, last = language.tokenizer, request.truncate_prompt_tokens
    if isinstance(request.prompt, tuple):
        ids, text = request.prompt[-last:] if last else request.prompt, ""
    else:
        text = await text_of(what, language, request.prompt)
        longest = most * tokenizer.longest * _ROOM_FOR_NORMALIZERS
        if not last and len(text) > longest:
            raise InvalidRequest(
                f"{what}: prompt: a text of {len(text)} characters cannot fit into {most} tokens"
            )
        special = adds_special_tokens(request.prompt, request.add_special_tokens)
        ids = tuple(await tokenizer.encode(text, add_special_tokens=special, last=last))
    if request.prompt_details and (last or isinstance(request.prompt, tuple)):
        text = await tokenizer.decode(ids, skip_special_tokens=False)
    return PromptText(ids, text)


async def text_of(what: str, language: Language, prompt: str | Chat) -> str:
    """A text, or what the model's template makes of a chat."""
    if not isinstance(prompt, Chat):
        return prompt
    if language.template is None:
        raise InvalidRequest(f"{what}: it has no chat template, ask it with a text")
    return await language.template.render(prompt)


def adds_special_tokens(prompt: str | Chat, asked: bool | None) -> bool:
    """A template says itself what a chat begins with."""
    return not isinstance(prompt, Chat) if asked is None else asked
