"""Wires a master together and owns everything it runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from services.master.admission import Admission
from services.master.dispatcher import Dispatcher
from services.master.metrics import MasterMetrics
from services.master.router import Router
from services.master.rpc import SERVICE_NAME, FrontDoor
from services.master.settings import MasterSettings
from services.master.workers import open_workers
from shared.addresses import HostPort
from shared.health import HealthBoard
from shared.metrics import exporter, new_registry
from shared.tasks import task_scope
from shared.wire import health
from shared.wire.grpcio import GrpcioWire
from shared.wire.interface import Server
from shared.wire.membership import Registrar

log = structlog.get_logger()


class Master:
    """A running master."""

    def __init__(
        self, front: Server, board: HealthBoard, admission: Admission, drain_seconds: float
    ) -> None:
        self.front = front
        self._board = board
        self._admission = admission
        self._drain_seconds = drain_seconds

    async def drain(self) -> None:
        self._board.stop()
        self._admission.closed = True
        await self.front.close(self._drain_seconds)


@asynccontextmanager
async def open_master(settings: MasterSettings) -> AsyncIterator[Master]:
    """A master that listens while inside."""
    wire = GrpcioWire()
    registry = new_registry()
    board = HealthBoard()
    router = Router()
    admission = Admission(settings.max_requests)
    metrics_at = HostPort.parse(settings.metrics_address) if settings.metrics_address else None
    async with (
        open_workers(wire, router, board, settings.max_requests) as workers,
        task_scope() as scope,
    ):
        registrar = Registrar(workers, settings.lease_seconds)
        scope.spawn(registrar.expel_silent(), name="leases")
        door = FrontDoor(
            admission,
            Dispatcher(router, workers),
            MasterMetrics(registry),
            settings.request_timeout_seconds,
        )
        probes = health.health_routes(board)
        async with (
            wire.serve(registrar.routes | probes, [settings.membership_address]) as membership,
            wire.serve(
                door.routes | probes,
                [settings.listen],
                max_message_bytes=settings.max_message_mb << 20,
                reflect=[SERVICE_NAME, health.SERVICE_NAME],
            ) as front,
        ):
            with exporter(registry, metrics_at):
                board.set("", True)
                board.set(SERVICE_NAME, True)
                log.info("listening", clients=front.addresses[0], workers=membership.addresses[0])
                yield Master(front, board, admission, settings.drain_seconds)
