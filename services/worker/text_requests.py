"""Answers what is asked of the language models that this worker serves."""

import random
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

import structlog

from services.worker.generation.asked import check_bounds, limits_of, prompt_of, sampling_of
from services.worker.generation.choices import Choice
from services.worker.generation.completions import Completions
from services.worker.generation.continuations import Continuation
from services.worker.generation.engine import Join
from services.worker.generation.engines import Engines
from services.worker.generation.language_serving import LanguageServing
from services.worker.generation.prompt_texts import (
    PromptText,
    adds_special_tokens,
    read_prompt,
    text_of,
)
from services.worker.generation.sequences import Sequence
from services.worker.requests import Requests
from services.worker.serving import Serving
from services.worker.servings import Servings
from services.worker.text_metrics import TextMetrics
from services.worker.text_watch import TextWatch
from shared.deadline import Deadline
from shared.errors import InvalidRequest, NotServed, ServingError, Unavailable
from shared.text_generation import (
    DetokenizeRequest,
    GenerateReply,
    GenerateRequest,
    ListedModel,
    TokenizeRequest,
    Tokens,
)

log = structlog.get_logger()

_SEED_BITS = 63


class _Found:
    """A language model that can be called now, by the name that it was asked for."""

    def __init__(self, serving: Serving, language: LanguageServing, adapter: int) -> None:
        self.serving = serving
        self.language = language
        self.adapter = adapter

    @property
    def what(self) -> str:
        """Name and version, for messages."""
        return str(self.serving.what)

    @property
    def engines(self) -> Engines:
        """Those that continue its texts."""
        if self.language.engines is None:
            raise Unavailable(f"{self.what} is not served here now")
        return self.language.engines


class _Ending:
    """How a request in progress ends."""

    failure: ServingError | None = None


class TextRequests:
    """Finds the model, reads prompts, and has its engines continue them."""

    def __init__(self, servings: Servings, requests: Requests, metrics: TextMetrics) -> None:
        self._servings = servings
        self._requests = requests
        self._metrics = metrics

    async def generate(
        self, request: GenerateRequest, deadline: Deadline | None, request_id: str
    ) -> AsyncGenerator[GenerateReply, None]:
        """Replies as they come; closing it ends what runs.

        Raises what goes wrong before the first reply; what goes wrong later ends choices.
        """
        found = self._find(request.model, request.version)
        watch = TextWatch(self._metrics, found.serving.what)
        with self._counted(found, request_id) as ending:
            context = found.language.generation.max_model_len
            most_choices = found.engines.declared.rules.max_waiting
            check_bounds(found.what, request, most_choices=most_choices)
            language = found.language.language
            prompt = await read_prompt(found.what, language, request, context)
            completions = self._begin(found, request, prompt, deadline, watch)
            try:
                async for reply in completions.replies():
                    if reply.usage is not None:
                        watch.ended(reply.usage)
                    yield reply
            finally:
                ending.failure = completions.failure
                completions.end()
                watch.left(completions.choices)

    def _begin(
        self,
        found: _Found,
        request: GenerateRequest,
        prompt: PromptText,
        deadline: Deadline | None,
        watch: TextWatch,
    ) -> Completions:
        language, engines = found.language.language, found.engines
        limits = limits_of(
            request,
            prompt_tokens=len(prompt.ids),
            context=found.language.generation.max_model_len,
            eos_ids=language.eos_ids,
        )
        tokenizer = language.tokenizer
        choices = [Choice(number, tokenizer, limits, request) for number in range(request.n)]
        completions = Completions(
            choices,
            cancel=engines.cancel,
            read_prompt=lambda: prompt.told(tokenizer) if request.prompt_details else None,
            heard=watch.heard,
        )
        seed = request.sampling.seed
        seed = _draw() if seed is None else seed

        def join_of(choice: Choice) -> Join:
            sampling = sampling_of(request.sampling, limits, seed=seed, choice=choice.number)

            def join(sequence: Sequence) -> Continuation:
                return Continuation(
                    sampling,
                    len(prompt.ids),
                    lambda news: completions.tell(choice, news),
                    prompt.note,
                    sequence,
                )

            return join

        asked = prompt_of(
            request, prompt.ids, limits, adapter=found.adapter, deadline=deadline, draw=_draw
        )
        completions.continuations = engines.add(asked, [join_of(each) for each in choices])
        return completions

    async def tokenize(self, request: TokenizeRequest, request_id: str) -> Tokens:
        """The tokens of a text or a chat; their places are those of the text."""
        found = self._find(request.model, request.version)
        with self._counted(found, request_id):
            language, prompt = found.language.language, request.prompt
            encoded = await language.tokenizer.encode_with_places(
                await text_of(found.what, language, prompt),
                add_special_tokens=adds_special_tokens(prompt, request.add_special_tokens),
            )
            context = found.language.generation.max_model_len
            ids, texts = tuple(encoded.ids), tuple(encoded.texts)
            if not isinstance(request.prompt, str):
                return Tokens(ids, texts, max_model_len=context)
            begins, ends = zip(*encoded.places, strict=True) if encoded.places else ((), ())
            return Tokens(ids, texts, begins, ends, context)

    async def detokenize(self, request: DetokenizeRequest, request_id: str) -> str:
        """The text of tokens."""
        found = self._find(request.model, request.version)
        with self._counted(found, request_id):
            most, largest = found.engines.declared.rules.vocabulary, max(request.ids, default=0)
            if largest >= most:
                raise InvalidRequest(
                    f"{found.what}: tokens: expected token ids from 0 to {most - 1}, got {largest}"
                )
            tokenizer = found.language.language.tokenizer
            return await tokenizer.decode(
                request.ids, skip_special_tokens=request.skip_special_tokens
            )

    def models(self) -> list[ListedModel]:
        """The language models that can be called now, each followed by its adapters."""
        return [
            ListedModel(
                name=name,
                base="" if name == serving.what.servable else serving.what.servable,
                version=serving.what.version,
                max_model_len=offer.max_model_len,
                slots=offer.slots,
                outstanding=serving.outstanding,
                created=offer.created,
                chat=offer.chat,
                device_type=offer.device_type,
            )
            for serving, language in self._ready()
            for offer in (language.offer(serving.holders.device_type),)
            for name in (serving.what.servable, *offer.adapters)
        ]

    def _ready(self) -> Iterator[tuple[Serving, LanguageServing]]:
        for serving in self._servings.language_models:
            if serving.language is not None and serving.ready and not serving.closed:
                yield serving, serving.language

    def _find(self, name: str, version: int) -> _Found:
        """The newest of those that are asked for.

        Raises NotServed for what is not here, Unavailable for what cannot be called now.
        """
        named = [
            (serving, serving.language)
            for serving in self._servings.language_models
            if serving.language is not None
            and name in (serving.what.servable, *serving.language.adapters)
            and version in (0, serving.what.version)
        ]
        if not named:
            of = f", version {version}" if version else ""
            raise NotServed(f"model '{name}'{of}: there is no such language model here")
        callable_now = [
            (serving, language)
            for serving, language in named
            if serving.ready and not serving.closed
        ]
        if not callable_now:
            raise Unavailable(f"{named[0][0].what} is not served here now")
        serving, language = max(callable_now, key=lambda each: each[0].what.version)
        return _Found(serving, language, language.adapters.get(name, 0))

    @contextmanager
    def _counted(self, found: _Found, request_id: str) -> Iterator[_Ending]:
        """A place among the requests in progress, and what came of it."""
        ending, outcome = _Ending(), "Cancelled"
        what = found.serving.what
        try:
            with self._requests.accepted(found.serving):
                yield ending
            outcome = "ok"
        except ServingError as failure:
            ending.failure = failure
            raise
        finally:
            if ending.failure is not None:
                outcome = type(ending.failure).__name__
                log.info(
                    "text failed",
                    request_id=request_id,
                    what=str(what),
                    error=outcome,
                    reason=ending.failure.message,
                )
            self._metrics.requests.of(what.servable, what.version, outcome).inc()


def _draw() -> int:
    return random.getrandbits(_SEED_BITS)
