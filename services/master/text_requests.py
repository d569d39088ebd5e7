"""What every door does with what is asked of language models: admit, count, log."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace

import structlog

from services.master.admission import Admission
from services.master.language_models import LanguageModel, LanguageModels
from services.master.metrics import Metrics
from services.master.text_dispatcher import TextDispatcher
from services.master.workers import Workers
from shared.deadline import Deadline
from shared.errors import InvalidRequest, Refused, ServingError
from shared.text_generation import (
    MOST_CHOICES,
    DetokenizeRequest,
    GenerateRequest,
    ListedModel,
    TokenizeRequest,
)
from shared.wire.text_replies_codec import failure_in

log = structlog.get_logger()

_SEED_BITS = 63


def draw_seed() -> int:
    """For a request that names none."""
    return random.getrandbits(_SEED_BITS)


class _Ending:
    """How a request that the master holds ends."""

    failure: Exception | None = None

    def heard(self, reply: bytes) -> None:
        """A reply came, which may tell of a choice that failed."""
        self.failure = self.failure or failure_in(reply)


class TextRequests:
    """Answers what clients ask of language models; the doors only translate."""

    def __init__(
        self, admission: Admission, models: LanguageModels, workers: Workers, metrics: Metrics
    ) -> None:
        self._now = asyncio.get_running_loop().time
        self._admission = admission
        self._models = models
        self._workers = workers
        self._metrics = metrics
        self._dispatcher = TextDispatcher(models, workers, metrics)

    @property
    def in_flight(self) -> int:
        """Requests that the master holds now."""
        return self._admission.in_flight

    def check_open(self) -> None:
        """Raises Draining when no more requests are taken."""
        self._admission.check_open()

    def refused(self, model: str, failure: ServingError, request_id: str) -> None:
        """Count and log a request that its door turned away."""
        self._metrics.requests.of(type(failure).__name__).inc()
        _log(model, failure, request_id)

    def find(self, name: str) -> LanguageModel:
        """A model that can be called now, by its name; see ``LanguageModels.find``."""
        return self._models.find(name)

    def models(self) -> list[ListedModel]:
        """The models that can be called now."""
        return [
            ListedModel(
                name=model.name,
                base=model.servable if model.is_adapter else "",
                version=model.version,
                max_model_len=model.offer.max_model_len,
                slots=model.offer.slots * len(model.workers),
                outstanding=sum(map(self._workers.texts.outstanding, model.workers)),
                created=model.offer.created,
                chat=model.offer.chat,
                device_type=model.offer.device_type,
            )
            for model in self._models.newest()
        ]

    @asynccontextmanager
    async def generate(
        self, request: GenerateRequest, deadline: Deadline | None, request_id: str
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The serialized GenerateReplys to one request; the first is there when it enters.

        Leaving ends the sequence at the worker. What goes wrong before the first reply is raised
        on entering, what goes wrong later while the replies are read. The place of the request is
        its own to the end of the stream.
        """
        if request.n > MOST_CHOICES:
            raise InvalidRequest(f"n: expected at most {MOST_CHOICES} choices, got {request.n}")
        if request.sampling.seed is None:
            sampling = replace(request.sampling, seed=draw_seed())
            request = replace(request, sampling=sampling)
        with self._counted(request.model, request_id) as ending:
            async with AsyncExitStack() as stack:
                yield await self._dispatcher.begin(
                    stack, request, deadline, request_id, ending.heard
                )

    async def tokenize(
        self, request: TokenizeRequest, deadline: Deadline | None, request_id: str
    ) -> bytes:
        """The serialized TokenizeReply."""
        with self._counted(request.model, request_id):
            return await self._dispatcher.tokenize(request, deadline, request_id)

    async def detokenize(
        self, request: DetokenizeRequest, deadline: Deadline | None, request_id: str
    ) -> bytes:
        """The serialized DetokenizeReply."""
        with self._counted(request.model, request_id):
            return await self._dispatcher.detokenize(request, deadline, request_id)

    @contextmanager
    def _counted(self, model: str, request_id: str) -> Iterator[_Ending]:
        """A place among the requests in flight, while inside; what comes of it is counted."""
        started = self._now()
        ending, outcome = _Ending(), "Cancelled"
        try:
            with self._admission:
                yield ending
            outcome = "ok"
        except Exception as failure:
            ending.failure = failure
            raise
        finally:
            if ending.failure is not None:
                outcome = type(ending.failure).__name__
                _log(model, ending.failure, request_id)
            self._metrics.requests.of(outcome).inc()
            self._metrics.seconds.observe(self._now() - started)


def _log(model: str, failure: Exception, request_id: str) -> None:
    # A master that is full has better things to do than to write about each.
    if isinstance(failure, ServingError) and not isinstance(failure, Refused):
        log.info(
            "request failed",
            request_id=request_id,
            model=model,
            error=type(failure).__name__,
            reason=failure.message,
        )
