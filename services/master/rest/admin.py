"""The operators' ASGI callable: orders by URL, answers in JSON."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
import structlog

from services.master.admin import Admin
from services.master.rest.body import Bodies, Receive
from services.master.rest.orders import read_asked, read_labels, write_inventory, write_labels
from services.master.rest.requests import read_json, write_failure
from services.master.rest.statuses import Forbidden, status_of, told
from shared.deadline import Deadline
from shared.errors import ServingError

log = structlog.get_logger()

Send = Callable[[dict[str, Any]], Awaitable[None]]
_MAX_BODY_BYTES = 64 << 10
_BODY_SECONDS = 10.0


class AdminRestDoor:
    """Answers one HTTP request a call; see ``docs/operations.md``."""

    def __init__(self, admin: Admin, deadline: Callable[[float], Deadline]) -> None:
        self._admin = admin
        self._deadline = deadline
        self._bodies = Bodies(_MAX_BODY_BYTES, 16 * _MAX_BODY_BYTES)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """An ASGI application."""
        headers = dict(scope["headers"])
        status, answer = 200, b""
        try:
            if b"origin" in headers:
                # A page in an operator's browser must not give orders to this host.
                raise Forbidden("requests from web pages are not answered here")
            answer = orjson.dumps(await self._answer(scope, headers, receive))
        except Exception as failure:
            if not isinstance(failure, ServingError):
                log.exception("request failed unexpectedly")
            named = told(failure)
            status, answer = status_of(named), write_failure(named)
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"content-length", b"%d" % len(answer)),
                    (b"connection", b"close"),
                ],
            }
        )
        await send({"type": "http.response.body", "body": answer})

    async def _answer(
        self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], receive: Receive
    ) -> dict[str, Any]:
        action, order = read_asked(scope["method"], scope["raw_path"].decode())
        if action == "index":
            return write_inventory(await self._admin.index(order.servable))
        if action == "load":
            return write_inventory(await self._admin.load(order))
        if action == "unload":
            return write_inventory(await self._admin.unload(order))
        if action == "labels":
            return write_labels(self._admin.labels(order.servable))
        deadline = self._deadline(_BODY_SECONDS)
        body = await self._bodies.read(receive, headers.get(b"content-length"), deadline)
        return write_labels(self._admin.set_labels(order.servable, read_labels(read_json(body))))
