"""Who is asked for a text, and what is made of what they do."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from services.master.language_models import LanguageModels
from services.master.metrics import Metrics
from services.master.text_dispatcher import TextDispatcher
from shared.deadline import Deadline
from shared.errors import DeadlineExceeded, Draining, Overloaded, PeerLost, WorkerLost
from shared.membership import LanguageOffer, Offer, Offers
from shared.servable import ServableVersion
from shared.text_generation import DetokenizeRequest, GenerateRequest
from shared.wire.text_codec import read_generate

SILENT = "silent"


class Channel:
    """Sends what its worker says: messages, a failure, or nothing; then its deadline ends it."""

    def __init__(self, said, asked):
        self._said = said
        self._asked = asked
        self.open = 0

    @asynccontextmanager
    async def stream(self, path, *, deadline, metadata):
        self.open += 1
        self._deadline = deadline
        try:
            yield self
        finally:
            self.open -= 1

    async def send(self, message):
        self._asked.append(read_generate(message))

    async def __aiter__(self):
        for each in self._said:
            yield await self._say(each)

    async def call(self, path, message, *, deadline, metadata):
        return await self._say(self._said[0])

    async def _say(self, each):
        if isinstance(each, Exception):
            raise each
        if each is SILENT:
            try:
                async with asyncio.timeout_at(self._deadline.at):
                    await asyncio.get_running_loop().create_future()
            except TimeoutError:
                raise DeadlineExceeded("the deadline passed") from None
        return each


class Workers:
    """Those who are there, and the texts of each."""

    def __init__(self, **said):
        self.asked = []
        self.channels = {name: Channel(each, self.asked) for name, each in said.items()}
        self.load = dict.fromkeys(said, 0)
        self.texts = self

    @asynccontextmanager
    async def channel(self, worker):
        yield self.channels[worker]

    def outstanding(self, worker):
        return self.load[worker]

    @property
    def open(self):
        return sum(each.open for each in self.channels.values())


def dispatcher_to(workers, **versions):
    models = LanguageModels(lambda servable: ())
    for name in workers.channels:
        offers = (
            Offer(ServableVersion("tiny", version), {}, 1, LanguageOffer())
            for version in versions.get(name, [1])
        )
        models.update(name, Offers(tuple(offers)))
    return TextDispatcher(models, workers, Metrics(CollectorRegistry()))


async def read(dispatcher, seconds=None):
    now = asyncio.get_running_loop().time()
    deadline = None if seconds is None else Deadline.after(seconds, now=now)
    said, heard = [], []
    async with AsyncExitStack() as stack:
        request = GenerateRequest("tiny", "a")
        async for each in await dispatcher.begin(stack, request, deadline, "r1", heard.append):
            said.append(each)
            assert heard == said
    return said


async def test_the_least_busy_is_asked_and_its_stream_is_closed_in_the_end():
    workers = Workers(a=[b"1", b"2"], b=[b"3"])
    workers.load["b"] = 1
    assert await read(dispatcher_to(workers)) == [b"1", b"2"]
    assert workers.open == 0


async def test_who_refuses_is_passed_over_and_the_version_stays():
    workers = Workers(a=[Overloaded("full")], b=[b"1"], c=[b"2"])
    workers.load |= {"b": 1, "c": 2}
    dispatcher = dispatcher_to(workers, a=[2], b=[1], c=[1, 2])
    assert await read(dispatcher) == [b"2"]
    assert [each.version for each in workers.asked] == [2, 2]


async def test_the_last_refusal_is_told():
    workers = Workers(a=[Overloaded("full")], b=[Draining("going")])
    workers.load["b"] = 1
    with pytest.raises(Draining, match="going"):
        await read(dispatcher_to(workers))
    assert workers.open == 0


async def test_a_refusal_after_the_first_reply_is_a_failure():
    workers = Workers(a=[b"1", Overloaded("full")], b=[b"2"])
    workers.load["b"] = 1
    with pytest.raises(Overloaded):
        await read(dispatcher_to(workers))
    assert len(workers.asked) == 1


@pytest.mark.parametrize("said", [[PeerLost("reset")], [b"1", PeerLost("reset")], []])
async def test_a_worker_that_is_gone_is_named_and_nobody_else_is_asked(said):
    workers = Workers(a=said, b=[b"1"])
    workers.load["b"] = 1
    with pytest.raises(WorkerLost):
        await read(dispatcher_to(workers))
    assert len(workers.asked) == 1
    assert workers.open == 0


@pytest.mark.parametrize("said", [[SILENT], [b"1", SILENT]])
async def test_nobody_waits_for_a_silent_worker_beyond_the_deadline(said):
    workers = Workers(a=said)
    async with asyncio.timeout(5):
        with pytest.raises(DeadlineExceeded, match="passed while text was generated"):
            await read(dispatcher_to(workers), 0.05)
    assert workers.open == 0


async def test_text_of_tokens_is_asked_of_another_worker_too():
    workers = Workers(a=[Overloaded("full")], b=[b"text"])
    workers.load["b"] = 1
    request = DetokenizeRequest("tiny", (1,))
    assert await dispatcher_to(workers).detokenize(request, None, "r1") == b"text"
