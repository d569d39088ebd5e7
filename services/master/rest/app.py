"""The ASGI callable: translates HTTP and JSON, and hands requests on."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

import orjson
import structlog

from services.master.requests import Requests
from services.master.rest.body import Bodies, Receive, discard_body
from services.master.rest.codings import deflate, inflate, is_gzip, takes_gzip
from services.master.rest.heads import check_key, request_id_of, unless_left, urgency_of
from services.master.rest.large import LargeJson
from services.master.rest.pages import Pages
from services.master.rest.paths import read_call
from services.master.rest.requests import read_json, read_request, write_failure, write_reply
from services.master.rest.statuses import (
    RETRY_AFTER_SECONDS,
    HttpFault,
    MethodNotAllowed,
    UnknownCoding,
    may_be_sent_again,
    status_of,
    told,
)
from services.master.rest.text.dialects import takes as takes_text
from services.master.spec import Spec
from shared.errors import ServingError
from shared.wire.predict_service import RequestIds

log = structlog.get_logger()

Send = Callable[[dict[str, Any]], Awaitable[None]]
Door = Callable[[Mapping[str, Any], Receive, Send], Awaitable[None]]
"""An ASGI application."""
Given = TypeVar("Given")
Result = TypeVar("Result")
_OPEN_PAGES = ("/healthz", "/readyz")
_PAGES = ("/healthz", "/readyz", "/openapi.json")
# What takes about ten milliseconds of JSON is done in a process of its own.
_LARGE_BODY, _LARGE_REPLY = 1 << 20, 1 << 19
# A kilobyte of gzip may be a megabyte; packing takes longer than unpacking.
_LARGE_PACKED, _LARGE_UNPACKED = 1 << 12, 1 << 17
# Bytes of bodies that are not complete; those that are pass through admission.
_MOST_ON_THEIR_WAY = 1 << 30


class _Answer(NamedTuple):
    status: int
    body: bytes
    failure: ServingError | None = None


class RestDoor:
    """Answers one HTTP request a call; see ``docs/protocol.md``."""

    def __init__(
        self,
        requests: Requests,
        pages: Pages,
        large: LargeJson,
        text_door: Door,
        *,
        max_body_bytes: int,
        always_200: bool,
        gzip_from_bytes: int,
        api_key: str = "",
    ) -> None:
        self._requests = requests
        self._pages = pages
        self._large = large
        self._text_door = text_door
        self._api_key = api_key
        self._bodies = Bodies(max_body_bytes, max(_MOST_ON_THEIR_WAY, 2 * max_body_bytes))
        self._always_200 = always_200
        self._gzip_from_bytes = gzip_from_bytes
        self._request_ids = RequestIds()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """An ASGI application; a client that hangs up cancels its request."""
        if takes_text(scope["raw_path"].decode("latin-1")):
            await self._text_door(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = request_id_of(headers, self._request_ids)
        async with unless_left(scope):
            answer = await self._answer(scope, headers, receive, request_id)
            packed = await self._packed(answer.body, headers.get(b"accept-encoding", b""))
            await self._send(answer, packed, request_id, scope["method"], receive, send)

    async def _packed(self, body: bytes, accepted: bytes) -> bytes | None:
        """An answer as gzip where its client takes it and it is large."""
        if not 0 < self._gzip_from_bytes <= len(body) or not takes_gzip(accepted):
            return None
        return await _run(deflate, body, in_thread=len(body) > _LARGE_UNPACKED)

    async def _answer(
        self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], receive: Receive,
        request_id: str,
    ) -> _Answer:  # fmt: skip
        method, path = scope["method"], scope["raw_path"].decode()
        try:
            if not path.startswith(_OPEN_PAGES):
                check_key(headers, self._api_key)
            if method == "POST":
                return await self._predict(path, headers, receive, request_id)
            if method not in ("GET", "HEAD"):
                raise MethodNotAllowed(f"http message only support POST right now, got {method}")
            return _Answer(200, orjson.dumps(self._pages.get(path)))
        except Exception as failure:
            if not isinstance(failure, ServingError):
                log.exception("request failed unexpectedly", request_id=request_id)
            named = told(failure)
            status = status_of(named)
            if self._always_200 and not path.startswith(_PAGES):
                status = 200
            return _Answer(status, write_failure(named), named)

    async def _predict(
        self, path: str, headers: Mapping[bytes, bytes], receive: Receive, request_id: str
    ) -> _Answer:
        spec = Spec()
        try:
            urgency = urgency_of(headers, self._requests)
            deadline, declared = urgency.deadline, headers.get(b"content-length")
            assert deadline is not None
            self._requests.check_room()
            is_packed = is_gzip(headers.get(b"content-encoding", b""))
            body = await self._bodies.read(receive, declared, deadline)
            self._requests.check_room()
            if is_packed:
                unpack = partial(inflate, max_bytes=self._bodies.max_bytes)
                body = await _run(unpack, body, in_thread=len(body) > _LARGE_PACKED)
            is_large = len(body) > _LARGE_BODY
            # What was packed may have become much, and what is large waits for its turn.
            with self._bodies.holding(len(body) if is_packed or is_large else 0):
                if is_large:
                    message = await self._large.read(path, body, deadline)
                    spec = read_call(path)
                else:
                    asked = read_json(body)
                    spec = read_call(path)
                    message = read_request(spec, asked)
                    del asked
        except ServingError as failure:
            self._requests.refused(spec, failure, request_id)
            raise
        # Large ones are not kept while a model works.
        del body
        reply = await self._requests.answer(message, urgency, request_id, spec.label)
        written, status = (
            await self._large.write(reply, deadline)
            if len(reply) > _LARGE_REPLY
            else write_reply(reply)
        )
        return _Answer(200 if self._always_200 else status, written)

    async def _send(
        self,
        answer: _Answer,
        packed: bytes | None,
        request_id: str,
        method: str,
        receive: Receive,
        send: Send,
    ) -> None:
        body = answer.body if packed is None else packed
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", request_id.encode()),
        ]
        failure, ends = answer.failure, False
        if packed is not None:
            headers.append((b"content-encoding", b"gzip"))
        if self._gzip_from_bytes:
            headers.append((b"vary", b"accept-encoding"))
        if isinstance(failure, UnknownCoding):
            headers.append((b"accept-encoding", b"gzip"))
        if failure is not None and may_be_sent_again(failure):
            headers.append((b"retry-after", b"%d" % RETRY_AFTER_SECONDS))
        if isinstance(failure, MethodNotAllowed):
            headers.append((b"allow", b"POST" if method == "GET" else b"GET, HEAD, POST"))
        if isinstance(failure, HttpFault) and failure.ends_connection:
            ends = True
            headers.append((b"connection", b"close"))
        start = {"type": "http.response.start", "status": answer.status, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": body, "more_body": ends})
        if ends:
            await discard_body(receive)
            await send({"type": "http.response.body", "body": b""})


async def _run(work: Callable[[Given], Result], given: Given, *, in_thread: bool) -> Result:
    return await asyncio.to_thread(work, given) if in_thread else work(given)
