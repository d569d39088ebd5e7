"""What a client of the RESTful entrance may send, and what must hold whatever it is."""

import asyncio
import gzip
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import uvicorn
from uvicorn.server import ServerState

from protos.ms_service import ms_service_pb2 as pb
from services.master.rest.app import RestDoor
from services.master.rest.connection import Connection
from services.master.rest.pages import Pages
from services.master.rest.text.door import TextDoor
from services.master.router import Router
from shared.deadline import Deadline
from shared.errors import AgentLost, NotServed, Overloaded, ServingError
from shared.urgency import Urgency
from tests.fuzz.tally import Tally
from tests.fuzz.traffic import cut

MAX_BODY_BYTES = 20_000
_MOST_REQUESTS = 8
_CALL = b"/model/toy:predict"
_PATHS = (
    *[_CALL] * 6, b"/model/toy/version/1:predict", b"/version/2/model/a%20b:%ff", b"/healthz",
    b"/readyz", b"/readyz/toy", b"/model/toy", b"/openapi.json", b"/", b"/model/:", b"*", b"//%",
    b"/v1/completions", b"/generate", b"/models/toy/generate", b"/tokenize", b"/v1/models",
    b"/ping",
)  # fmt: skip
_METHODS = (*[b"POST"] * 8, b"GET", b"HEAD", b"PUT", b"OPTIONS", b"M-SEARCH", b"post")


class Requests:
    """Stands for what lies behind the door: echoes, fails, takes a moment."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def deadline(self, seconds: float = 5.0) -> Deadline:
        return Deadline.after(min(seconds, 5.0), now=asyncio.get_running_loop().time())

    def urgency(self, deadline: Deadline | None, priority: int) -> Urgency:
        return Urgency(deadline or self.deadline(), priority)

    def check_room(self) -> None:
        if self._rng.random() < 0.02:
            raise Overloaded("full")

    def refused(self, spec: Any, failure: ServingError, request_id: str) -> None:
        pass

    async def answer(self, message: bytes, urgency: Urgency, request_id: str, label: str) -> bytes:
        for _ in range(self._rng.choice((0, 0, 1, 5))):
            await asyncio.sleep(0)
        if self._rng.random() < 0.1:
            raise self._rng.choice((NotServed, AgentLost, Overloaded))("no")
        request = pb.PredictRequest.FromString(message)
        return pb.PredictReply(instances=request.instances).SerializeToString()


class Texts:
    """A master that knows no language model."""

    in_flight = 0

    def find(self, name: str) -> None:
        raise NotServed("no")

    def models(self) -> list[Any]:
        return []

    def check_open(self) -> None:
        pass

    def refused(self, model: str, failure: ServingError, request_id: str) -> None:
        pass

    async def tokenize(self, *asked: Any) -> bytes:
        raise NotServed("no")

    @asynccontextmanager
    async def generate(self, *asked: Any) -> AsyncIterator[None]:
        raise NotServed("no")
        yield


class Transport(asyncio.Transport):
    """Takes everything."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: Any) -> None:
        if not self.closed:
            self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def sent_by(rng: random.Random) -> bytes:
    """Requests one after another, which make sense more or less."""
    wild = rng.choice((0.0, 0.0, 0.01, 0.1, 0.5))
    sent = bytearray()
    for _ in range(rng.randint(1, _MOST_REQUESTS)):
        made = bytearray(_request(rng, wild))
        if rng.random() < wild:
            for _ in range(rng.randint(1, 5)):
                made[rng.randrange(len(made))] = rng.getrandbits(8)
        sent += made
    if rng.random() < 0.1:
        del sent[rng.randint(0, len(sent)) :]
    return bytes(sent)


def _request(rng: random.Random, wild: float) -> bytes:
    body = _body(rng, wild)
    headers = [b"host: fuzz"]
    if rng.random() < 0.2:
        headers.append(b"content-encoding: " + rng.choice((b"gzip", b"gzip", b"identity", b"br")))
        if rng.random() < 0.9:
            body = gzip.compress(body)
    if rng.random() < 0.2:
        headers.append(b"accept-encoding: " + rng.choice((b"gzip", b"*;q=0.5", b"gzip;q=x", b";")))
    if rng.random() < 0.1:
        headers.append(b"x-request-timeout: " + rng.choice((b"1", b"nan", b"-1", b"1e999", b"x")))
    if rng.random() < 0.1:
        headers.append(b"x-request-id: " + rng.randbytes(rng.randint(1, 20)).hex().encode())
    if rng.random() < 0.05:
        headers.append(b"connection: close")
    if rng.random() < 0.05:
        headers.append(b"expect: 100-continue")
    if rng.random() < 0.2:
        headers.append(b"transfer-encoding: chunked")
        chunks = [piece for piece in cut(rng, body) if piece]
        body = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks) + b"0\r\n\r\n"
    else:
        length = len(body) if rng.random() >= wild else rng.choice((0, 5, 10**9, 10**30))
        headers.append(b"content-length: %d" % length)
    head = b"%b %b HTTP/1.%d" % (rng.choice(_METHODS), rng.choice(_PATHS), rng.random() < 0.95)
    return b"\r\n".join([head, *headers, b"", b""]) + body


def _body(rng: random.Random, wild: float) -> bytes:
    choice = rng.random()
    if choice < wild / 2:
        return rng.randbytes(rng.randint(0, 200))
    if choice < wild:
        return bytes(rng.choice((1000, MAX_BODY_BYTES + 1, 3_000_000)))
    instances = [{"x": _value(rng, 3)} for _ in range(rng.randint(0, 4))]
    asked: Any = {"instances": rng.choice((instances, {"x": _value(rng, 3)}, _value(rng, 2)))}
    return orjson.dumps(asked)


def _value(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(9)
    if kind < 3 and depth:
        return [_value(rng, depth - 1) for _ in range(rng.randint(0, 4))]
    if kind == 3:
        packed: dict[str, Any] = {"b64": rng.choice(("AACAPw==", "", "A", "!", None, 7))}
        if rng.random() < 0.7:
            packed["type"] = rng.choice(("float32", "int8", "str", "bool", "complex64", 5))
        if rng.random() < 0.5:
            packed["shape"] = rng.choice(([1], [], [-1], [10**18, 10**18], "x", [1.5]))
        return packed
    return rng.choice((1, -(2**40), 2**63 - 1, 1.5, 1e308, True, None, "text", "\u00e9", {}, [[]]))


async def fuzz_rest(rng: random.Random, tally: Tally) -> None:
    """A client's connection: what goes out is answers, and nothing is left when it is over."""
    sent = sent_by(rng)
    rng = random.Random(rng.getrandbits(64))
    pages = Pages(Router(random.Random(1)), lambda: True)
    requests: Any = Requests(rng)
    texts: Any = Texts()
    text_door = TextDoor(texts, requests, max_body_bytes=MAX_BODY_BYTES, max_requests=10)
    door = RestDoor(
        requests,
        pages,
        None,  # no body is large
        text_door,
        max_body_bytes=MAX_BODY_BYTES,
        always_200=rng.random() < 0.3,
        gzip_from_bytes=rng.choice((0, 100)),
    )
    config = uvicorn.Config(
        door, http=Connection, ws="none", lifespan="off", log_config=None, log_level="critical"
    )
    state = ServerState()
    config.load()
    connection = Connection(config=config, server_state=state, app_state={}, max_connections=9)
    transport = Transport()
    connection.connection_made(transport)
    for piece in cut(rng, sent):
        if transport.closed:
            break
        connection.data_received(piece)
        for _ in range(rng.choice((0, 0, 1, 10))):
            await asyncio.sleep(0)
    for _ in range(rng.choice((0, 30))):
        await asyncio.sleep(0)
    tally.faults += transport.closed
    connection.connection_lost(None)
    if state.tasks:
        _, late = await asyncio.wait(list(state.tasks), timeout=5)
        if late:
            raise AssertionError("a request of a client that is gone goes on")
    if state.connections or door._bodies._held or text_door._bodies._held:
        raise AssertionError("something is left of a connection that is gone")
    statuses = _statuses(bytes(transport.written))
    tally.connections += 1
    tally.frames += len(statuses)
    if 500 in statuses:
        raise AssertionError("an answer of 500 that nobody asked for")


def _statuses(written: bytes) -> list[int]:
    """Of whole answers, one after another, each with JSON in it."""
    found = []
    while written:
        head, blank, written = written.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        status = int(first.split()[1])
        if not first.startswith(b"HTTP/1.1 ") or not blank:
            raise AssertionError(f"no answer: {head[:200]!r}")
        if status == 100:
            continue
        headers = {
            name.lower(): value for name, _, value in (each.partition(b": ") for each in lines)
        }
        found.append(status)
        size = int(headers[b"content-length"])
        body, rest = written[:size], written[size:]
        if not body.startswith((b"{", b"\x1f\x8b")):
            # An answer to HEAD has none; one that was cut short is the last.
            continue
        if len(body) == size:
            content = gzip.decompress(body) if body.startswith(b"\x1f") else body
            orjson.loads(content)
        written = rest
    return found
