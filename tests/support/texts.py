"""A toy language model as a servable, and clients who have it continue texts."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from services.worker.app import open_worker
from services.worker.settings import WorkerSettings
from shared.ports import free_port
from shared.text_generation import GenerateRequest, Sampling
from shared.wire.text_codec import GENERATE_PATH, write_generate
from shared.wire.text_replies_codec import read_reply
from tests.support.cluster import Cluster
from tests.support.language import LAYERS, bytes_tokenizer, toy, whole_text

VOCABULARY = 300
CONTEXT, SLOTS = 96, 4
PREFILL = ((1, 8, 96), (4, 16, 96))
DECODE = ((1, 1, 32), (4, 1, 32), (4, 1, 96))
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"


def add_language_model(
    directory: Path,
    name: str = "tiny",
    *,
    vocabulary: int = VOCABULARY,
    layers: int = LAYERS,
    latency_seconds: float = 0.0,
    faults: dict[str, str] | None = None,
    **declared: object,
) -> list[str]:
    """Write a servable with a language model of the reference backend; its files, in order.

    With a ``rank_size`` each rank is started with these files: it computes what all of it does.
    """
    folder = directory / name / "1"
    folder.mkdir(parents=True, exist_ok=True)
    files = toy(folder, PREFILL, DECODE, vocabulary=vocabulary, layers=layers, adapters=True)
    names = [Path(path).name for path in files.paths]
    for each in names:
        described = json.loads((folder / each).read_text())
        described |= {"latency_seconds": latency_seconds, "faults": faults or {}}
        (folder / each).write_text(json.dumps(described))
    bytes_tokenizer(folder.parent)
    (folder.parent / "chat.jinja").write_text(TEMPLATE)
    said = {
        "max_model_len": CONTEXT, "slots": SLOTS, "block_size": 4, "eos_ids": [],
        "chat_template": "chat.jinja", "adapters": {f"{name}-tuned": 2},
    } | declared  # fmt: skip
    arguments = ", ".join(f"{key}={value!r}" for key, value in said.items())
    (folder.parent / "servable_config.py").write_text(
        "from mindspore_serving.server import register\n\n"
        f"register.declare_language_model({names[: len(PREFILL)]!r}, {names[len(PREFILL) :]!r},\n"
        f'    model_format="Reference", {arguments})\n'
    )
    return list(files.paths)


def plainly(
    prompt: Sequence[int],
    number: int,
    *,
    adapter: int = 0,
    vocabulary: int = VOCABULARY,
    layers: int = LAYERS,
) -> list[int]:
    """``number`` greedy tokens, for each of which the whole text is computed."""
    text = list(prompt)
    for _ in range(number):
        text.append(int(whole_text(vocabulary, layers)(tuple(text), adapter)[-1].argmax()))
    return text[len(prompt) :]


def asked(prompt, *, model="tiny", new=8, sampling=None, **more) -> GenerateRequest:
    """A greedy request; ``sampling`` says what is to be otherwise."""
    chosen = Sampling(**{"temperature": 0.0} | (sampling or {}))
    prompt = tuple(prompt) if isinstance(prompt, list | range) else prompt
    return GenerateRequest(model, prompt, sampling=chosen, max_new_tokens=new, **more)


class Texts:
    """Calls ``TextGeneration`` at one address."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel

    def stream(self, request: GenerateRequest, timeout: float | None = 60.0):
        """The call itself; leaving it is the caller's."""
        generate = self.channel.unary_stream(GENERATE_PATH)
        return generate(write_generate(request), timeout=timeout, wait_for_ready=True)

    async def replies(self, request: GenerateRequest, timeout: float | None = 60.0):
        """All replies."""
        return [read_reply(each) async for each in self.stream(request, timeout)]

    async def choices(self, request: GenerateRequest, timeout: float | None = 60.0):
        """What each choice came to."""
        return choices_of(await self.replies(request, timeout))

    async def only(self, request: GenerateRequest, timeout: float | None = 60.0):
        """What the one choice came to."""
        (choice,) = (await self.choices(request, timeout)).values()
        return choice


async def rest_of(call) -> list[bytes]:
    """What a stream still says, to its end."""
    read = []
    while (each := await call.read()) is not grpc.aio.EOF:
        read.append(each)
    return read


class Made:
    """A choice, put together."""

    def __init__(self) -> None:
        self.text, self.ids, self.tokens = "", [], []
        self.reason = self.stopped_by = self.error = ""


def choices_of(replies) -> dict[int, Made]:
    made: dict[int, Made] = {}
    for reply in replies:
        for piece in reply.pieces:
            choice = made.setdefault(piece.choice, Made())
            assert not choice.reason, "a choice goes on after its end"
            choice.text += piece.text
            choice.ids += piece.token_ids
            choice.tokens += piece.tokens
            choice.reason, choice.error = piece.finish_reason, piece.error
            choice.stopped_by = piece.stopped_by
    return made


@asynccontextmanager
async def texts_at(address: str):
    async with grpc.aio.insecure_channel(address) as channel:
        yield Texts(channel)


@asynccontextmanager
async def texts_of_worker_here(folder: Path):
    """Texts of "tiny", whose worker is in this process, and its agent in one of its own."""
    direct = f"127.0.0.1:{free_port()}"
    async with Cluster(folder) as cluster:
        await asyncio.to_thread(add_language_model, cluster.servables)
        settings = WorkerSettings(
            listen="127.0.0.1:0", clients_address=direct, masters=(cluster.membership,),
            servable_directory=cluster.servables,
        )  # fmt: skip
        async with open_worker(settings) as worker, texts_at(direct) as texts:
            cluster.start_agent("agent", worker.address)
            await cluster.ready("tiny", direct)
            yield texts
