"""Builds the master and owns everything in it."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

import structlog

from services.master.admin import Admin
from services.master.admin_rpc import SERVICE_NAMES as ADMIN_SERVICE_NAMES
from services.master.admin_rpc import AdminDoor
from services.master.admission import Admission
from services.master.dispatcher import Dispatcher
from services.master.labels import parse_labels
from services.master.language_models import LanguageModels
from services.master.metrics import Metrics
from services.master.requests import Requests
from services.master.router import Router
from services.master.rpc import FrontDoor
from services.master.settings import MasterSettings
from services.master.text_requests import TextRequests
from services.master.text_rpc import TextDoor
from services.master.workers import Workers
from shared import metrics as shared_metrics
from shared.addresses import HostPort
from shared.health import HealthBoard
from shared.tasks import TaskScope, task_scope
from shared.wire.health import SERVICE_NAME as HEALTH_SERVICE_NAME
from shared.wire.health import health_routes
from shared.wire.interface import ConnectionAge, Server
from shared.wire.membership import Registrar
from shared.wire.mutual import between_services
from shared.wire.predict_service import SERVICE_NAME
from shared.wire.text_codec import SERVICE_NAME as TEXT_SERVICE_NAME
from shared.wire.wires import wire_named

if TYPE_CHECKING:
    from services.master.rest.server import RestServer

log = structlog.get_logger()

# Time for the last answers to be written, once every request has one.
_CLOSE_GRACE_SECONDS = 0.5
_MAX_ADMIN_BYTES, _MAX_ADMIN_CALLS = 1 << 20, 32


class Master:
    """A running master."""

    def __init__(
        self,
        front: Server,
        rest: "RestServer | None",
        membership: Server,
        admission: Admission,
        registrar: Registrar,
        health: HealthBoard,
    ) -> None:
        self._front = front
        self._rest = rest
        self._membership = membership
        self._admission = admission
        self._registrar = registrar
        self._health = health

    @property
    def address(self) -> str:
        """Where clients call."""
        return self._front.addresses[0]

    @property
    def rest_address(self) -> str:
        """Where clients call with JSON; empty when there is no RESTful entrance."""
        return self._rest.address if self._rest is not None else ""

    @property
    def membership_address(self) -> str:
        """Where workers join."""
        return self._membership.addresses[0]

    async def drain(self) -> None:
        """Refuse new requests and return when the accepted ones are answered."""
        self._health.stop()
        # Not the server's own grace: a health watcher would hold it to the end.
        await self._admission.drain()
        doors = [each for each in (self._front, self._rest) if each is not None]
        await asyncio.gather(*(door.close(_CLOSE_GRACE_SECONDS) for door in doors))
        # Else workers would stay for the whole grace.
        await self._registrar.close()


def _max_connection_age(settings: MasterSettings) -> ConnectionAge | None:
    if not settings.max_connection_age_seconds:
        return None
    # A call takes no longer, unless its client asked for it.
    return ConnectionAge(settings.max_connection_age_seconds, settings.request_timeout_seconds)


def _serve_rest(
    settings: MasterSettings,
    requests: Requests,
    texts: TextRequests,
    router: Router,
    health: HealthBoard,
    scope: TaskScope,
    api_key: str,
) -> "AbstractAsyncContextManager[RestServer | None]":
    if not settings.rest_address:
        return nullcontext()
    # Here, so that only masters that speak HTTP have its libraries in memory.
    from services.master.rest.app import RestDoor  # noqa: PLC0415 (see above)
    from services.master.rest.large import LargeJson  # noqa: PLC0415 (see above)
    from services.master.rest.pages import Pages  # noqa: PLC0415 (see above)
    from services.master.rest.server import serve_rest  # noqa: PLC0415 (see above)
    from services.master.rest.text.door import TextDoor as RestTextDoor  # noqa: PLC0415 (see above)

    max_body_bytes = settings.rest_max_message_mb << 20
    text_door = RestTextDoor(
        texts,
        requests,
        max_body_bytes=max_body_bytes,
        max_requests=settings.max_requests,
        api_key=api_key,
    )
    door = RestDoor(
        requests,
        Pages(router, lambda: bool(health.get(""))),
        LargeJson(scope, hang_seconds=settings.rest_json_hang_seconds),
        text_door,
        max_body_bytes=max_body_bytes,
        api_key=api_key,
        always_200=settings.rest_status == "compat",
        gzip_from_bytes=settings.rest_gzip_from_bytes,
    )
    return serve_rest(
        door,
        settings.rest_address,
        scope,
        max_connections=settings.rest_max_connections,
        tls=settings.rest_tls,
        reuse_port=settings.reuse_port,
    )


def _serve_admin_rest(
    settings: MasterSettings, admin: Admin, requests: Requests, scope: TaskScope
) -> "AbstractAsyncContextManager[RestServer | None]":
    if not settings.admin_rest_address:
        return nullcontext()
    from services.master.rest.admin import AdminRestDoor  # noqa: PLC0415 (as above)
    from services.master.rest.server import serve_rest  # noqa: PLC0415 (as above)

    return serve_rest(
        AdminRestDoor(admin, requests.deadline),
        settings.admin_rest_address,
        scope,
        tls=settings.admin_tls,
    )


@asynccontextmanager
async def open_master(settings: MasterSettings) -> AsyncIterator[Master]:
    """A master that listens while inside."""
    wire = wire_named(settings.wire)
    peers = between_services(wire, settings.peer_tls)
    registry = shared_metrics.new_registry()
    metrics = Metrics(registry)
    health = HealthBoard()
    health.set("", True)
    health.set(SERVICE_NAME, False)
    router = Router(random.Random(), parse_labels(settings.labels))
    metrics.add_labels(
        lambda: [
            (servable, label.name, label.version, router.is_served(servable, label.version))
            for servable, label in router.labelled()
        ]
    )
    admission = Admission(settings.max_requests, metrics)
    api_key = await asyncio.to_thread(settings.read_rest_api_key)
    exported = HostPort.parse(settings.metrics_address) if settings.metrics_address else None
    with shared_metrics.exporter(registry, exported):
        async with task_scope() as scope:
            models = LanguageModels(router.labels, default=settings.text_model)
            workers = Workers(
                peers, scope, router, health, metrics, models,
                max_outstanding=settings.max_requests,
            )  # fmt: skip
            registrar = Registrar(workers, settings.lease_seconds)
            requests = Requests(
                admission,
                Dispatcher(router, workers, metrics),
                metrics,
                request_timeout_seconds=settings.request_timeout_seconds,
                max_request_timeout_seconds=settings.max_request_timeout_seconds,
            )
            texts = TextRequests(admission, models, workers, metrics)
            door = FrontDoor(requests)
            text_door = TextDoor(texts, requests)
            admin = Admin(wire, workers, router, timeout_seconds=settings.admin_timeout_seconds)
            async with (
                peers.serve(
                    registrar.routes | health_routes(health), [settings.membership_address]
                ) as membership,
                wire.serve(
                    AdminDoor(admin).routes | health_routes(health),
                    [settings.admin_address] if settings.admin_address else [],
                    max_message_bytes=_MAX_ADMIN_BYTES,
                    max_concurrent_calls=_MAX_ADMIN_CALLS,
                    tls=settings.admin_tls,
                    reflect=[*ADMIN_SERVICE_NAMES, HEALTH_SERVICE_NAME],
                ) as admin_server,
                _serve_admin_rest(settings, admin, requests, scope) as admin_rest,
                _serve_rest(settings, requests, texts, router, health, scope, api_key) as rest,
                # The last to listen: who finds that MSService serves finds the others too.
                wire.serve(
                    door.routes | text_door.routes | health_routes(health),
                    [settings.listen],
                    max_message_bytes=settings.max_message_mb << 20,
                    tls=settings.tls,
                    max_connection_age=_max_connection_age(settings),
                    reuse_port=settings.reuse_port,
                    reflect=[SERVICE_NAME, TEXT_SERVICE_NAME, HEALTH_SERVICE_NAME],
                ) as front,
            ):
                health.set(SERVICE_NAME, True)
                scope.spawn(registrar.expel_silent(), name="lease watch")
                master = Master(front, rest, membership, admission, registrar, health)
                log.info(
                    "listening",
                    clients=master.address,
                    rest=master.rest_address,
                    admin=next(iter(admin_server.addresses), ""),
                    admin_rest=admin_rest.address if admin_rest is not None else "",
                    membership=master.membership_address,
                )
                yield master
