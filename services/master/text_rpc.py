"""What clients of language models call: ``TextGeneration``, a stream of text."""

from services.master.requests import Requests
from services.master.text_requests import TextRequests
from shared.deadline import Deadline
from shared.errors import InvalidRequest
from shared.urgency import DEFAULT_PRIORITY
from shared.wire.interface import CallContext, Routes, Stream
from shared.wire.predict_service import RequestIds
from shared.wire.text_codec import (
    DETOKENIZE_PATH,
    GENERATE_PATH,
    LIST_MODELS_PATH,
    TOKENIZE_PATH,
    read_detokenize,
    read_generate,
    read_tokenize,
)
from shared.wire.text_replies_codec import write_models


class TextDoor:
    """Passes requests on, and replies back as they come."""

    def __init__(self, texts: TextRequests, requests: Requests) -> None:
        self._texts = texts
        self._requests = requests
        self._request_ids = RequestIds()

    @property
    def routes(self) -> Routes:
        """Serve these to clients."""
        return Routes(
            unary={
                TOKENIZE_PATH: self.tokenize,
                DETOKENIZE_PATH: self.detokenize,
                LIST_MODELS_PATH: self.list_models,
            },
            streams={GENERATE_PATH: self.generate},
        )

    async def generate(self, context: CallContext, stream: Stream) -> None:
        """One request, and its text as it comes. A client that leaves cancels it."""
        message = await anext(aiter(stream), None)
        if message is None:
            raise InvalidRequest("expected one GenerateRequest message, got none")
        request = read_generate(message)
        request_id = self._request_ids.of(context.metadata)
        async with self._texts.generate(request, self._deadline(context), request_id) as replies:
            async for reply in replies:
                await stream.send(reply)

    async def tokenize(self, context: CallContext, message: bytes) -> bytes:
        """The tokens of a text or a chat."""
        request_id = self._request_ids.of(context.metadata)
        return await self._texts.tokenize(
            read_tokenize(message), self._deadline(context), request_id
        )

    async def detokenize(self, context: CallContext, message: bytes) -> bytes:
        """The text of tokens."""
        request_id = self._request_ids.of(context.metadata)
        return await self._texts.detokenize(
            read_detokenize(message), self._deadline(context), request_id
        )

    async def list_models(self, context: CallContext, message: bytes) -> bytes:
        """The language models that can be called."""
        return write_models(self._texts.models())

    def _deadline(self, context: CallContext) -> Deadline | None:
        return self._requests.urgency(context.deadline, DEFAULT_PRIORITY).deadline
