"""Wires an agent together and owns everything it runs."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import structlog

from services.agent.collective.rank import Rank
from services.agent.device.holder import Holder
from services.agent.device.supervisor import Limits
from services.agent.keys import read_keys
from services.agent.metrics import AgentMetrics
from services.agent.rpc import ExecutionDoor
from services.agent.settings import AgentSettings
from shared.addresses import HostPort
from shared.errors import LoadFailed
from shared.health import HealthBoard
from shared.membership import Assignment, Device, Hello, Holding, Notice
from shared.metrics import exporter, new_registry
from shared.tasks import task_scope
from shared.wire.health import health_routes
from shared.wire.interface import Server
from shared.wire.membership import Membership
from shared.wire.mutual import between_services
from shared.wire.wires import wire_named

log = structlog.get_logger()


# Time for the last answers to be written.
_CLOSE_GRACE_SECONDS = 0.5
# And for the worker to be told why this agent ends.
_TELL_SECONDS = 1.0


class Agent:
    """A running agent."""

    def __init__(self, server: Server, board: HealthBoard, holder: Holder) -> None:
        self._server = server
        self._board = board
        self._holder = holder

    @property
    def address(self) -> str:
        """Where the worker calls."""
        return self._server.addresses[0]

    async def drain(self) -> None:
        """Take no more batches and return when those at work are answered."""
        self._board.stop()
        await self._holder.drain()
        await self._server.close(_CLOSE_GRACE_SECONDS)


@asynccontextmanager
async def open_agent(settings: AgentSettings) -> AsyncIterator[Agent]:
    """An agent that keeps joining its worker while inside."""
    wire = between_services(wire_named(settings.wire), settings.peer_tls)
    registry = new_registry()
    board = HealthBoard()
    member_id = uuid.uuid4().hex
    device = Device(settings.device_type, settings.device_id)
    keys = await asyncio.to_thread(read_keys, settings.dec_keys)
    rank = await asyncio.to_thread(_rank, settings)
    limits = Limits(
        settings.hang_seconds, settings.load_timeout_seconds, settings.onednn_max_cpu_isa
    )
    metrics_at = HostPort.parse(settings.metrics_address) if settings.metrics_address else None
    # A socket of the abstract namespace: reachable on this host alone, and gone with
    # the process, however that ends.
    local = f"unix-abstract:mindserve-agent-{member_id}" if settings.local_socket else ""
    async with task_scope() as scope:

        def changed() -> None:
            # The membership below speaks of this holder: each needs the other.
            membership.changed()
            held = holder.holdings().holdings
            board.set_servables(_readiness(held))
            first_load.look(held)

        first_load = _FirstLoad()
        holder = Holder(scope, device, limits, changed, keys, rank)
        door = ExecutionDoor(holder, AgentMetrics(registry))
        routes = door.routes | health_routes(board)
        async with wire.serve(routes, [settings.listen, *filter(None, [local])]) as server:
            bound = HostPort.parse(server.addresses[0])
            address = str(bound.as_seen_from_afar)

            def hello() -> Hello:
                number = rank.number if rank else None
                epoch, role = holder.latest_epoch, settings.generation_role
                return Hello(member_id, address, local, device, number, epoch, role)

            def noticed(notice: Notice) -> None:
                if isinstance(notice, Assignment):
                    holder.assign(_on_lite(notice) if settings.enable_lite else notice)

            membership = Membership(wire, hello, holder.holdings, lambda: holder.running, noticed)
            scope.spawn(membership.keep_joined(settings.worker), name="membership")
            if settings.first_load_must_succeed:
                scope.spawn(first_load.must_succeed(membership), name="first load")
            with exporter(registry, metrics_at):
                board.set("", True)
                log.info("listening", worker_calls=str(bound), worker=settings.worker)
                yield Agent(server, board, holder)


class _FirstLoad:
    """How it went when models were loaded for the first time."""

    def __init__(self) -> None:
        self._reason: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def look(self, holdings: Iterable[Holding]) -> None:
        """See how far the agent is; only the first success or failure counts."""
        for holding in holdings:
            if not self._reason.done() and holding.state != "loading":
                failed = holding.state == "failed"
                self._reason.set_result(f"{holding.what}: {holding.detail}" if failed else "")

    async def must_succeed(self, membership: Membership) -> None:
        """Wait for it; raises LoadFailed naming servable, version and cause.

        The worker hears of it before, so that it knows more than that an agent left.
        """
        if reason := await self._reason:
            with suppress(TimeoutError):
                async with asyncio.timeout(_TELL_SECONDS):
                    await membership.told()
            raise LoadFailed(reason)


def _rank(settings: AgentSettings) -> Rank | None:
    """What it offers to gangs; raises LoadFailed naming a file that cannot be read."""
    if settings.rank is None:
        return None
    rank = Rank(settings.rank, settings.model_files, settings.group_config_files)
    rank.check_files()
    return rank


def _on_lite(assignment: Assignment) -> Assignment:
    """The same, every MindIR model with the format that MindSpore Lite's backend reads."""
    return Assignment(
        tuple(
            replace(
                each,
                models=tuple(
                    replace(files, format="mindir_lite") if files.format == "mindir" else files
                    for files in each.models
                ),
            )
            for each in assignment.servables
        )
    )


def _readiness(holdings: Iterable[Holding]) -> dict[str, bool]:
    """A servable can be called here when one of its versions is ready."""
    states: dict[str, bool] = {}
    for holding in holdings:
        name = holding.what.servable
        states[name] = states.get(name, False) or holding.state == "ready"
    return states
