"""``python simple_server.py PORT FOLDER one|batch``: what one writes in an afternoon.

FastAPI before the example's bare loop, on a thread of its own. ``one``: each request alone, one
after the other. ``batch``: up to 16 that come within 10 ms go through the graphs together, and the
next ones wait until the longest of them has ended (static batching). Both stream.
"""

import asyncio
import json
import os
import queue
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

# MindSpore, which this environment has not.
sys.path.append(os.environ["BENCH_PACKAGES"])

import numpy as np
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from tokenizers import Tokenizer

from benchmarks.generation.export import loop_of
from benchmarks.generation.shapes import ROWS
from examples.llm.graphs import on_cpu
from examples.llm.train_tokenizer import TOKENIZER

WAIT_SECONDS = 0.01


class Completion(BaseModel):
    """A request's body."""

    prompt: str
    max_tokens: int = 16
    stream: bool = False


@dataclass
class Waiting:
    """A request, and where its tokens go."""

    prompt: list[int]
    max_tokens: int
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    tokens: asyncio.Queue[int] = field(default_factory=asyncio.Queue)

    def tell(self, token: int) -> None:
        self.loop.call_soon_threadsafe(self.tokens.put_nowait, token)


app = FastAPI()
tokenizer = Tokenizer.from_file(str(TOKENIZER))
line: queue.Queue[Waiting] = queue.Queue()


def generate(folder: Path, rows: int) -> None:
    """Continue what waits, for ever."""
    on_cpu()
    loop = loop_of(rows, folder)
    loop.generate([[3]], 2)
    while True:
        batch = [line.get()]
        until = time.monotonic() + WAIT_SECONDS
        while len(batch) < rows:
            try:
                batch.append(line.get(timeout=max(0, until - time.monotonic())))
            except queue.Empty:
                break
        missing = [[]] * (rows - len(batch))
        following = loop.prefill([*(each.prompt for each in batch), *missing])
        lengths = np.array([*(len(each.prompt) for each in batch), *(-1 for _ in missing)])
        for step in range(max(each.max_tokens for each in batch)):
            for each, token in zip(batch, following.tolist(), strict=False):
                if step < each.max_tokens:
                    each.tell(token)
            if step < max(each.max_tokens for each in batch) - 1:
                positions = np.where(lengths >= 0, lengths + step, -1).astype(np.int32)
                following = loop.decode(following, positions)


async def pieces(asked: Completion):
    """The text of each token, as it comes."""
    waiting = Waiting(tokenizer.encode(asked.prompt).ids, asked.max_tokens)
    line.put(waiting)
    tokens, told = [], ""
    for _ in range(asked.max_tokens):
        tokens.append(await waiting.tokens.get())
        text = tokenizer.decode(tokens)
        yield text[len(told) :]
        told = text


async def events(asked: Completion):
    number = 0
    async for piece in pieces(asked):
        number += 1
        finish = "length" if number == asked.max_tokens else None
        choice = {"index": 0, "text": piece, "finish_reason": finish}
        yield f"data: {json.dumps({'object': 'text_completion', 'choices': [choice]})}\n\n"
    usage = {"completion_tokens": number, "prompt_tokens": 0}
    yield f"data: {json.dumps({'choices': [], 'usage': usage})}\n\ndata: [DONE]\n\n"


@app.post("/v1/completions")
async def completions(asked: Completion):
    if asked.stream:
        return StreamingResponse(events(asked), media_type="text/event-stream")
    text = "".join([piece async for piece in pieces(asked)])
    return {"choices": [{"index": 0, "text": text, "finish_reason": "length"}]}


def main() -> None:
    port, folder, kind = sys.argv[1:]
    rows = {"one": 1, "batch": ROWS}[kind]
    threading.Thread(target=generate, args=(Path(folder), rows), daemon=True).start()
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
