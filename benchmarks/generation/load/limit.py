"""``python -m benchmarks.generation.load.limit``: how much the generator can take.

Loads a server that computes nothing: 16 requests at once, each answered by 64 pieces, every piece
written by itself. What the generator's process takes for a piece says from which rate on a server
would have to wait for it.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import uvloop

from benchmarks.generation.load.measured import run_load
from benchmarks.generation.load.order import Asked, Order
from benchmarks.peers.environment import ROOT

PIECES, AT_ONCE, REQUESTS = 64, 16, 640
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def events() -> Iterator[bytes]:
    """The chunks of one answer."""
    for number in range(PIECES):
        finish = "length" if number == PIECES - 1 else None
        choice = {"index": 0, "text": " word", "logprobs": None, "finish_reason": finish}
        said = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "told"}
        yield _chunk(f"data: {json.dumps({**said, 'choices': [choice]})}\n\n")
    yield _chunk("data: [DONE]\n\n")
    yield _chunk("")


def _chunk(text: str) -> bytes:
    return f"{len(text):x}\r\n{text}\r\n".encode()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(HEAD)
    for event in events():
        writer.write(event)
        await writer.drain()
        await asyncio.sleep(0)
    writer.close()


async def serve() -> None:
    """Say the port, and answer for ever."""
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


@contextmanager
def server() -> Iterator[str]:
    """The URL of a server in a process of its own, while inside."""
    command = [sys.executable, "-m", "benchmarks.generation.load.limit", "serve"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def main() -> None:
    with server() as url:
        order = Order(url, "told", (Asked("p", PIECES),), REQUESTS, AT_ONCE)
        found = run_load(order).summary
    took = 1e6 * found.generator_cores * found.seconds / found.tokens
    print(
        f"{found.tokens_per_second:,.0f} pieces/s, {found.errors} errors; the generator takes "
        f"{took:.0f} µs of CPU for a piece, so one core of it takes {1e6 / took:,.0f} a second"
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        uvloop.run(serve())
    else:
        main()
