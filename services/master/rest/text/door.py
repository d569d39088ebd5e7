"""The ASGI callable of language models: HTTP and JSON in, text out, whole or as it comes."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from typing import Any

import orjson
import structlog

from services.master.requests import Requests
from services.master.rest.body import Bodies, Receive, discard_body
from services.master.rest.codings import inflate, is_gzip
from services.master.rest.heads import Headers, check_key, request_id_of, unless_left, urgency_of
from services.master.rest.requests import read_json
from services.master.rest.statuses import (
    RETRY_AFTER_SECONDS,
    HttpFault,
    MethodNotAllowed,
    Unauthorized,
    may_be_sent_again,
    told,
)
from services.master.rest.text import dialects, pages, tokens
from services.master.rest.text.answer import Asked, Caller
from services.master.rest.text.dialects import Dialect
from services.master.rest.text.fields import Fields
from services.master.rest.text.replies import replies_to
from services.master.rest.text.sse import DONE, Send, Writer, event
from services.master.text_requests import TextRequests, draw_seed
from shared.deadline import Deadline
from shared.errors import InternalError, InvalidRequest, NotServed, ServingError, Unavailable
from shared.text_generation import ListedModel
from shared.urgency import Urgency
from shared.wire.predict_service import RequestIds
from shared.wire.text_replies_codec import read_text, read_tokens

log = structlog.get_logger()

_LONGEST_REQUEST_ID = 128
# What takes longer to read than others should wait; no prompt is near it.
_LARGEST_BODY = 4 << 20
_MOST_ON_THEIR_WAY = 256 << 20
_VERSION = "0.1.0"


class TextDoor:
    """Answers one HTTP request a call; see ``docs/generation.md``."""

    def __init__(
        self,
        texts: TextRequests,
        requests: Requests,
        *,
        max_body_bytes: int,
        max_requests: int,
        api_key: str = "",
    ) -> None:
        self._texts = texts
        self._requests = requests
        max_body_bytes = min(max_body_bytes, _LARGEST_BODY)
        self._bodies = Bodies(max_body_bytes, _MOST_ON_THEIR_WAY)
        self._max_requests = max_requests
        self._api_key = api_key
        self._request_ids = RequestIds()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """An ASGI application; a client that hangs up ends what is generated for it."""
        headers = dict(scope["headers"])
        path = scope["raw_path"].decode("latin-1")
        writer = Writer(send, request_id_of(headers, self._request_ids))
        dialect = dialects.dialect_of(path)
        async with unless_left(scope):
            try:
                if not dialects.is_health(path) or scope["method"] == "POST":
                    check_key(headers, self._api_key)
                await self._answer(scope["method"], path, headers, receive, writer)
            except Exception as failure:
                if not isinstance(failure, ServingError):
                    log.exception("request failed unexpectedly", request_id=writer.request_id)
                await _tell_failure(writer, dialect, told(failure), receive)

    async def _answer(
        self, method: str, path: str, headers: Headers, receive: Receive, writer: Writer
    ) -> None:
        if method in ("GET", "HEAD") and dialects.takes_get(path):
            await self._page(path, writer)
        elif method == "POST" and dialects.takes_post(path):
            await self._post(path, headers, receive, writer)
        else:
            raise MethodNotAllowed(f"'{path[:200]}' takes no {method}")

    async def _page(self, path: str, writer: Writer) -> None:
        if dialects.is_health(path):
            self._check_health()
            await writer.whole(200, b"")
        elif name := dialects.serving_of(path):
            models = self._texts.models()
            page = pages.serving(name, models, self._listed(models))
            await writer.begin_stream()
            await writer.tell([page])
            await writer.end_stream()
        else:
            await writer.whole(200, orjson.dumps(self._read_page(path)))

    def _read_page(self, path: str) -> dict[str, Any]:
        models = self._texts.models()
        if name := dialects.model_of(path):
            return pages.find_model(models, name)
        match path:
            case "/v1/models":
                return pages.list_models(models)
            case "/info":
                return pages.tgi_info(self._listed(models), self._max_requests, _VERSION)
            case "/version":
                return {"version": _VERSION}
            case _:
                return {"server_load": self._texts.in_flight}

    def _check_health(self) -> None:
        self._texts.check_open()
        if not self._texts.models():
            raise Unavailable("no worker serves a language model now")

    def _listed(self, models: list[ListedModel]) -> ListedModel:
        """The model of those who name none."""
        name = self._texts.find("").name
        return next(model for model in models if model.name == name)

    async def _post(self, path: str, headers: Headers, receive: Receive, writer: Writer) -> None:
        if path == "/ping":
            self._check_health()
            await writer.whole(200, b"")
            return
        call = dialects.call_of(path)
        model = "" if call is None else call.model
        try:
            if call is None and path not in (dialects.TOKENIZE, dialects.DETOKENIZE):
                raise NotServed(f"please check url, nothing is at '{path[:200]}'")
            self._requests.check_room()
            urgency = urgency_of(headers, self._requests)
            body = await self._read_body(headers, receive, urgency)
            given = Fields(body).text("request_id")
            if given and given.isascii() and given.isprintable():
                writer.request_id = given[:_LONGEST_REQUEST_ID]
            caller = Caller(
                writer.request_id,
                int(time.time()),
                urgency.priority,
                model,
                lambda name: self._texts.find(name).name,
                draw_seed(),
            )
            asked = None if call is None else call.read(body, caller)
        except ServingError as failure:
            self._texts.refused(model, failure, writer.request_id)
            raise
        if asked is None:
            await self._tokens(path, body, caller, urgency.deadline, writer)
        else:
            del body
            await self._generate(asked, caller, urgency.deadline, writer)

    async def _read_body(
        self, headers: Headers, receive: Receive, urgency: Urgency
    ) -> Mapping[str, Any]:
        assert urgency.deadline is not None
        is_packed = is_gzip(headers.get(b"content-encoding", b""))
        content = await self._bodies.read(receive, headers.get(b"content-length"), urgency.deadline)
        if is_packed:
            unpack = partial(inflate, max_bytes=self._bodies.max_bytes)
            content = await asyncio.to_thread(unpack, content)
        body = read_json(content)
        if not isinstance(body, dict):
            raise InvalidRequest("expected a JSON object")
        return body

    async def _tokens(
        self,
        path: str,
        body: Mapping[str, Any],
        caller: Caller,
        deadline: Deadline | None,
        writer: Writer,
    ) -> None:
        if path == dialects.TOKENIZE:
            asked = tokens.read_tokenize(body, caller)
            reply = await self._texts.tokenize(asked, deadline, caller.request_id)
            answer = tokens.write_tokens(body, read_tokens(reply))
        else:
            given = tokens.read_detokenize(body, caller)
            reply = await self._texts.detokenize(given, deadline, caller.request_id)
            answer = {"prompt": read_text(reply)}
        await writer.whole(200, orjson.dumps(answer))

    async def _generate(
        self, asked: Asked, caller: Caller, deadline: Deadline | None, writer: Writer
    ) -> None:
        now = asyncio.get_running_loop().time
        started, answer = now(), asked.answer
        replies = replies_to(self._texts, asked.requests, deadline, caller.request_id)
        unfinished = {(p, c) for p, r in enumerate(asked.requests) for c in range(r.n)}
        async with aclosing(replies):
            async for prompt, reply in replies:
                unfinished -= {(prompt, each.choice) for each in reply.pieces if each.finish_reason}
                events = list(answer.add(prompt, reply))
                if asked.streams:
                    if not writer.begun:
                        await writer.begin_stream()
                    await writer.tell(events)
        if unfinished:
            raise InternalError("the worker ended before the text did")
        if asked.streams:
            await writer.tell(answer.end())
            await writer.end_stream(DONE if asked.says_done else b"")
        else:
            headers = answer.headers(now() - started)
            await writer.whole(200, orjson.dumps(answer.whole()), headers)


async def _tell_failure(
    writer: Writer, dialect: Dialect, failure: ServingError, receive: Receive
) -> None:
    written = dialect.write_failure(failure)
    if writer.begun:
        await writer.end_stream(event(written) + (DONE if dialect.says_done else b""))
        return
    headers: list[tuple[bytes, bytes]] = []
    if may_be_sent_again(failure):
        headers.append((b"retry-after", b"%d" % RETRY_AFTER_SECONDS))
    if isinstance(failure, Unauthorized):
        headers.append((b"www-authenticate", b"Bearer"))
    ends = isinstance(failure, HttpFault) and failure.ends_connection
    if ends:
        headers.append((b"connection", b"close"))
    await writer.whole(dialect.status_of(failure), orjson.dumps(written), headers)
    if ends:
        await discard_body(receive)
