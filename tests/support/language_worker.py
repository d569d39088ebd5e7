"""A worker that speaks the contract of text generation; what it says is what a test gives it.

A character is a token, its code point the id. Nothing is computed: the text comes from the test.
"""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from shared.errors import InvalidRequest
from shared.membership import Hello, LanguageOffer, Offer, Offers
from shared.servable import ServableVersion
from shared.text_generation import (
    Alternative,
    Chat,
    GenerateReply,
    Piece,
    ReadPrompt,
    Token,
    Tokens,
    Usage,
)
from shared.wire import text_codec as codec
from shared.wire import text_replies_codec as replies
from shared.wire.exchange_server import serve_exchange
from shared.wire.interface import Routes
from shared.wire.membership import Membership
from shared.wire.native import NativeWire

MAX_MODEL_LEN = 128
LANGUAGE = LanguageOffer(("tuned",), MAX_MODEL_LEN, 4, True, 1_700_000_000, "CPU")


def language_offers(*names, **more):
    names = names or ("tiny",)
    return Offers(
        tuple(Offer(ServableVersion(name, 1), {}, 10, LANGUAGE) for name in names), **more
    )


def token(character, *, logprobs=None):
    """A token of one character; half as likely as all others together."""
    if logprobs is None:
        return Token(ord(character), character.encode(), character == "\n")
    others = tuple(
        Alternative(ord(each), each.encode(), -0.5 - place)
        for place, each in enumerate((character, "x", "y", "z")[:logprobs])
    )
    return Token(ord(character), character.encode(), character == "\n", -0.5, 1, others)


@dataclass
class LanguageWorker:
    """See the module; one of a master's workers while inside ``joined``."""

    master: object
    name: str = "w"
    text: str = "Hello!"
    offers: Offers = field(default_factory=language_offers)
    wire: object = field(default_factory=NativeWire)
    failure: Exception | None = None
    """Raised before the first reply."""
    breaks_after: int | None = None
    """Raises ``broken`` after so many pieces."""
    broken: Exception | None = None
    piece_error: str = ""
    endless: bool = False
    """Texts that begin now have no end, and large pieces."""
    asked: list = field(default_factory=list)
    request_ids: list = field(default_factory=list)
    seconds_left: list = field(default_factory=list)
    sent: int = 0
    running: int = 0
    cancelled: int = 0

    def __post_init__(self):
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def _generate(self, context, stream):
        request = codec.read_generate(await anext(aiter(stream)))
        self.asked.append(request)
        self.request_ids.append(context.metadata.get("x-request-id"))
        left = context.deadline
        now = asyncio.get_running_loop().time()
        self.seconds_left.append(None if left is None else left.remaining(now))
        if self.failure is not None:
            raise self.failure
        self.running += 1
        try:
            async for reply in self._replies(request):
                await stream.send(replies.write_reply(reply))
                self.sent += 1
                if self.breaks_after is not None and self.sent >= self.breaks_after:
                    raise self.broken
                await self.go_on.wait()
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def _replies(self, request):
        prompt = prompt_text(request.prompt)
        if len(prompt) + 1 > MAX_MODEL_LEN:
            raise InvalidRequest(f"the prompt has {len(prompt)} tokens, the model takes 127")
        first = ReadPrompt(prompt, prompt_tokens(request, prompt))
        told = request.prompt_details
        count, endless = 0, self.endless
        for choice in range(request.n):
            text, reason, stopped_by = self._text(request)
            for place, character in enumerate(text):
                is_last = place == len(text) - 1
                count += 1
                piece = Piece(
                    choice,
                    character,
                    (ord(character),),
                    reason if is_last and not endless else "",
                    stopped_by if is_last else "",
                    tokens=(token(character, logprobs=request.sampling.logprobs),)
                    if request.details
                    else (),
                )
                yield GenerateReply((piece,), prompt=first if told else None)
                told = False
            while endless:
                yield GenerateReply((Piece(choice, "all work and no play " * 1000, (1,)),))
        if self.piece_error:
            yield GenerateReply((Piece(0, finish_reason="error", error=self.piece_error),))
        yield GenerateReply(usage=Usage(len(prompt), count, 2, 0.001, 0.002, 0.003))

    def _text(self, request):
        text, reason, stopped_by = self.text, "stop", ""
        for stop in request.stop:
            at = text.find(stop)
            if at >= 0:
                text = text[: at + len(stop) if request.include_stop else at]
                stopped_by = stop
        if request.max_new_tokens is not None and len(text) > request.max_new_tokens:
            text, reason, stopped_by = text[: request.max_new_tokens], "length", ""
        return text, "" if self.piece_error else reason, stopped_by

    async def _tokenize(self, context, message):
        request = codec.read_tokenize(message)
        self.asked.append(request)
        text = prompt_text(request.prompt)
        ids = tuple(map(ord, text))
        places = tuple(range(len(text)))
        ends = tuple(place + 1 for place in places)
        return replies.write_tokens(Tokens(ids, tuple(text), places, ends, MAX_MODEL_LEN))

    async def _detokenize(self, context, message):
        request = codec.read_detokenize(message)
        return replies.write_text("".join(map(chr, request.ids)))

    async def _exchange(self, context, stream):
        await serve_exchange(stream, self._nothing, max_outstanding=10)

    async def _nothing(self, incoming):
        raise InvalidRequest("this worker serves language models alone")

    @asynccontextmanager
    async def joined(self):
        routes = Routes(
            unary={codec.TOKENIZE_PATH: self._tokenize, codec.DETOKENIZE_PATH: self._detokenize},
            streams={
                "/mindserve.serving.v1.Dispatch/Exchange": self._exchange,
                codec.GENERATE_PATH: self._generate,
            },
        )
        async with self.wire.serve(routes, ["127.0.0.1:0"]) as server:
            self.server = server
            self.membership = Membership(
                self.wire, lambda: Hello(self.name, server.addresses[0]), lambda: self.offers,
                int, print,
            )  # fmt: skip
            joining = self.membership.keep_joined(self.master.membership_address)
            task = asyncio.create_task(joining)
            try:
                yield self
            finally:
                task.cancel()
                await asyncio.wait([task])


def prompt_text(prompt):
    """What a template makes of a chat here: its messages, a line for each."""
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, Chat):
        messages = json.loads(prompt.messages_json)
        return "".join(f"{each['role']}: {each.get('content')}\n" for each in messages)
    return "".join(map(chr, prompt))


def prompt_tokens(request, prompt):
    tokens = [token(each, logprobs=request.sampling.prompt_logprobs) for each in prompt]
    if tokens and request.sampling.prompt_logprobs is not None:
        tokens[0] = token(prompt[0])
    return tuple(tokens)
