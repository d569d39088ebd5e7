"""Hands what is asked of a language model to the worker that suits it best."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from typing import TypeVar

from services.master.language_models import LanguageModel, LanguageModels
from services.master.metrics import Metrics
from services.master.prefixes import Prefixes, blocks_of, choose
from services.master.text_channels import TOO_LATE, open_stream
from services.master.workers import Workers
from shared.deadline import Deadline
from shared.errors import (
    DeadlineExceeded,
    InvalidRequest,
    PeerLost,
    Refused,
    Unavailable,
    WorkerLost,
)
from shared.text_generation import (
    Chat,
    DetokenizeRequest,
    GenerateRequest,
    Prompt,
    TokenizeRequest,
)
from shared.wire.predict_service import REQUEST_ID_KEY
from shared.wire.text_codec import (
    DETOKENIZE_PATH,
    GENERATE_PATH,
    TOKENIZE_PATH,
    write_detokenize,
    write_generate,
    write_tokenize,
)

Result = TypeVar("Result")
_Ask = Callable[[LanguageModel, str], Awaitable[Result]]


class TextDispatcher:
    """Chooses by load and by what workers have probably computed; a refusal is no answer."""

    def __init__(self, models: LanguageModels, workers: Workers, metrics: Metrics) -> None:
        self._models = models
        self._workers = workers
        self._metrics = metrics
        self._prefixes = Prefixes()

    async def begin(
        self,
        stack: AsyncExitStack,
        request: GenerateRequest,
        deadline: Deadline | None,
        request_id: str,
        heard: Callable[[bytes], None],
    ) -> AsyncIterator[bytes]:
        """The serialized GenerateReplys; the first is there. ``stack`` ends the stream.

        ``heard`` is called with each before it is passed on. Workers refuse before their first
        reply, or not at all.
        """
        blocks = blocks_of(request)

        async def ask(model: LanguageModel, worker: str) -> AsyncIterator[bytes]:
            _check(model, request.prompt, request.truncate_prompt_tokens)
            message = write_generate(replace(request, model=model.name, version=model.version))
            async with AsyncExitStack() as opened:
                channel = await opened.enter_async_context(self._workers.texts.channel(worker))
                metadata = {REQUEST_ID_KEY: request_id}
                answers = await opened.enter_async_context(
                    open_stream(channel, GENERATE_PATH, message, deadline, metadata)
                )
                first = await anext(answers, None)
                if first is None:
                    raise WorkerLost("the worker ended without an answer")
                self._prefixes.remember(blocks, worker)
                stack.push_async_exit(opened.pop_all())
                return await stack.enter_async_context(aclosing(_all(first, answers, heard)))

        return await self._ask(request.model, request.version, blocks, deadline, ask)

    async def tokenize(
        self, request: TokenizeRequest, deadline: Deadline | None, request_id: str
    ) -> bytes:
        """The serialized TokenizeReply."""

        async def ask(model: LanguageModel, worker: str) -> bytes:
            _check(model, request.prompt)
            message = write_tokenize(replace(request, model=model.name, version=model.version))
            return await self._call(worker, TOKENIZE_PATH, message, deadline, request_id)

        return await self._ask(request.model, request.version, (), deadline, ask)

    async def detokenize(
        self, request: DetokenizeRequest, deadline: Deadline | None, request_id: str
    ) -> bytes:
        """The serialized DetokenizeReply."""

        async def ask(model: LanguageModel, worker: str) -> bytes:
            message = write_detokenize(replace(request, model=model.name, version=model.version))
            return await self._call(worker, DETOKENIZE_PATH, message, deadline, request_id)

        return await self._ask(request.model, request.version, (), deadline, ask)

    async def _call(
        self, worker: str, path: str, message: bytes, deadline: Deadline | None, request_id: str
    ) -> bytes:
        async with self._workers.texts.channel(worker) as channel:
            return await channel.call(
                path, message, deadline=deadline, metadata={REQUEST_ID_KEY: request_id}
            )

    async def _ask(
        self,
        name: str,
        version: int,
        blocks: Sequence[bytes],
        deadline: Deadline | None,
        ask: _Ask[Result],
    ) -> Result:
        """What the first worker says that does not refuse."""
        refused_by: set[str] = set()
        refusal: Refused | None = None
        while True:
            model = self._models.find(name, version)
            # The same version to the end: what it was made of must not change on the way.
            version = model.version
            workers = [each for each in model.workers if each not in refused_by]
            if not workers:
                raise refusal or Unavailable(f"model '{name}': no worker serves it now")
            if refused_by:
                self._metrics.redispatched.inc()
            preferred = self._prefixes.preferred(blocks, workers)
            worker = choose(preferred, workers, self._workers.outstanding)
            try:
                async with _until(deadline):
                    return await ask(model, worker)
            except Refused as failure:
                refusal = failure
                refused_by.add(worker)
            except PeerLost as failure:
                if type(failure) is PeerLost:
                    raise WorkerLost("the worker was lost before it answered") from failure
                raise


def _check(model: LanguageModel, prompt: Prompt, truncated: int = 0) -> None:
    """What no worker could do is said here."""
    if isinstance(prompt, Chat) and not model.offer.chat:
        raise InvalidRequest(f"model '{model.name}' has no chat template")
    most = model.offer.max_model_len
    if isinstance(prompt, tuple) and not truncated and 0 < most <= len(prompt):
        raise InvalidRequest(
            f"model '{model.name}' takes {most} tokens, prompt and completion together:"
            f" the prompt has {len(prompt)}"
        )


async def _all(
    first: bytes, answers: AsyncIterator[bytes], heard: Callable[[bytes], None]
) -> AsyncGenerator[bytes, None]:
    heard(first)
    yield first
    async for answer in answers:
        heard(answer)
        yield answer


@asynccontextmanager
async def _until(deadline: Deadline | None) -> AsyncIterator[None]:
    """At the deadline what is awaited inside ends with DeadlineExceeded."""
    try:
        async with asyncio.timeout_at(None if deadline is None else deadline.at):
            yield
    except TimeoutError:
        raise DeadlineExceeded(TOO_LATE) from None
