"""Wires an agent together and owns everything it runs."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from services.agent.device.holder import Holder
from services.agent.device.supervisor import Limits
from services.agent.metrics import AgentMetrics
from services.agent.rpc import ExecutionDoor
from services.agent.settings import AgentSettings
from shared.addresses import HostPort
from shared.health import HealthBoard
from shared.membership import Assignment, Device, Hello, Notice
from shared.metrics import exporter, new_registry
from shared.tasks import task_scope
from shared.wire.grpcio import GrpcioWire
from shared.wire.health import health_routes
from shared.wire.interface import Server
from shared.wire.membership import Membership

log = structlog.get_logger()


class Agent:
    """A running agent."""

    def __init__(self, server: Server, board: HealthBoard, drain_seconds: float) -> None:
        self.server = server
        self._board = board
        self._drain_seconds = drain_seconds

    async def drain(self) -> None:
        self._board.stop()


@asynccontextmanager
async def open_agent(settings: AgentSettings) -> AsyncIterator[Agent]:
    """An agent that keeps joining its worker while inside."""
    wire = GrpcioWire()
    registry = new_registry()
    board = HealthBoard()
    device = Device(settings.device_type, settings.device_id)
    limits = Limits(
        settings.hang_seconds, settings.load_timeout_seconds, settings.onednn_max_cpu_isa
    )
    metrics_at = HostPort.parse(settings.metrics_address) if settings.metrics_address else None
    async with task_scope() as scope:

        def changed() -> None:
            # The membership below speaks of this holder: each needs the other.
            membership.changed()

        holder = Holder(scope, device, limits, changed)
        door = ExecutionDoor(holder, AgentMetrics(registry))
        async with wire.serve(door.routes | health_routes(board), [settings.listen]) as server:
            bound = HostPort.parse(server.addresses[0])
            address = HostPort("" if bound.is_wildcard else bound.host, bound.port)
            hello = Hello(uuid.uuid4().hex, str(address), device=device)

            def noticed(notice: Notice) -> None:
                if isinstance(notice, Assignment):
                    holder.assign(notice)

            membership = Membership(wire, lambda: hello, holder.holdings, lambda: 0, noticed)
            scope.spawn(membership.keep_joined(settings.worker), name="membership")
            with exporter(registry, metrics_at):
                board.set("", True)
                log.info("listening", worker_calls=str(bound), worker=settings.worker)
                yield Agent(server, board, settings.drain_seconds)
