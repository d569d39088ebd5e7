"""What masters and clients call of language models: ``TextGeneration``."""

from contextlib import aclosing

from services.worker.text_requests import TextRequests
from shared.errors import InvalidRequest
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
from shared.wire.text_replies_codec import write_models, write_reply, write_text, write_tokens


class TextDoor:
    """Reads requests and passes on what is answered."""

    def __init__(self, texts: TextRequests) -> None:
        self._texts = texts
        self._request_ids = RequestIds()

    @property
    def routes(self) -> Routes:
        """Serve these to masters and to clients."""
        return Routes(
            unary={
                TOKENIZE_PATH: self.tokenize,
                DETOKENIZE_PATH: self.detokenize,
                LIST_MODELS_PATH: self.list_models,
            },
            streams={GENERATE_PATH: self.generate},
        )

    async def generate(self, context: CallContext, stream: Stream) -> None:
        """One request, and its text as it comes. Who leaves ends it."""
        message = await anext(aiter(stream), None)
        if message is None:
            raise InvalidRequest("expected one GenerateRequest message, got none")
        request = read_generate(message)
        request_id = self._request_ids.of(context.metadata)
        replies = self._texts.generate(request, context.deadline, request_id)
        async with aclosing(replies):
            async for reply in replies:
                # A step's tokens for all of a master's clients are one write.
                await stream.send(write_reply(reply), soon=True)

    async def tokenize(self, context: CallContext, message: bytes) -> bytes:
        """The tokens of a text or a chat."""
        request_id = self._request_ids.of(context.metadata)
        return write_tokens(await self._texts.tokenize(read_tokenize(message), request_id))

    async def detokenize(self, context: CallContext, message: bytes) -> bytes:
        """The text of tokens."""
        request_id = self._request_ids.of(context.metadata)
        return write_text(await self._texts.detokenize(read_detokenize(message), request_id))

    async def list_models(self, context: CallContext, message: bytes) -> bytes:
        """The language models that can be called."""
        del context, message
        return write_models(self._texts.models())
