"""Messages that travel as gzip; large ones are worked on by a thread, for the loop's sake."""

import asyncio

from shared.errors import InternalError, Overloaded
from shared.wire.http2.grpc_messages import BadMessage, Deflated, MessageTooLarge, compress, inflate

# Deflate makes a thousand bytes of one, at some hundred megabytes a second.
_SMALL_DEFLATED = 1 << 10
_SMALL_MESSAGE = 32 << 10


async def inflated(message: Deflated, max_bytes: int) -> bytes:
    """The message itself; raises Overloaded when it is larger than ``max_bytes``."""
    try:
        if len(message) <= _SMALL_DEFLATED:
            return inflate(message, max_bytes)
        return await asyncio.to_thread(inflate, message, max_bytes)
    except MessageTooLarge as failure:
        raise Overloaded(str(failure)) from None
    except BadMessage as failure:
        raise InternalError(str(failure)) from None


async def compressed(message: bytes) -> bytes:
    """The message, compressed, behind its prefix."""
    if len(message) <= _SMALL_MESSAGE:
        return compress(message)
    return await asyncio.to_thread(compress, message)
