"""The replies to several prompts of one HTTP request, as they come."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from services.master.text_requests import TextRequests
from shared.deadline import Deadline
from shared.tasks import task_scope
from shared.text_generation import GenerateReply, GenerateRequest
from shared.wire.text_replies_codec import read_reply

# Replies to all prompts that wait to be written; then those who generate wait.
_WAITING = 16


async def replies_to(
    texts: TextRequests,
    requests: Sequence[GenerateRequest],
    deadline: Deadline | None,
    request_id: str,
) -> AsyncGenerator[tuple[int, GenerateReply], None]:
    """The number of a prompt, and a reply to it. Close it: that ends what still generates.

    Raises the first ServingError of any; the others end with it.
    """
    if len(requests) == 1:
        async with texts.generate(requests[0], deadline, request_id) as replies:
            async for message in replies:
                yield 0, read_reply(message)
        return
    waiting: asyncio.Queue[tuple[int, GenerateReply | None]] = asyncio.Queue(_WAITING)

    async def read(number: int, request: GenerateRequest) -> None:
        async with aclosing(replies_to(texts, [request], deadline, request_id)) as replies:
            async for _, reply in replies:
                await waiting.put((number, reply))
        await waiting.put((number, None))

    async with task_scope() as scope:
        for number, request in enumerate(requests):
            scope.spawn(read(number, request), name=f"prompt {number}")
        left = len(requests)
        while left:
            number, reply = await waiting.get()
            if reply is None:
                left -= 1
            else:
                yield number, reply
