"""Builds the worker and owns everything in it."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

import structlog
from prometheus_client import CollectorRegistry

from services.worker.client_rpc import ClientDoor
from services.worker.gangs.rules import GangRules, RankTable
from services.worker.gangs_rpc import GangsDoor
from services.worker.graph.runner import GraphRunner
from services.worker.masters import keep_joined
from services.worker.members import Members
from services.worker.methods import Methods
from services.worker.metrics import Metrics
from services.worker.repository_rpc import RepositoryDoor
from services.worker.requests import Requests
from services.worker.rollout import Rollout
from services.worker.rpc import DispatchDoor
from services.worker.servable.policy import VersionPolicy
from services.worker.servable.repository import Repository
from services.worker.servable.wanted import Wanted
from services.worker.servings import Servings
from services.worker.settings import WorkerSettings
from services.worker.stages.functions import FunctionStages
from services.worker.stages.pipelines import Pipelines
from services.worker.stages.pool import StageProcesses
from services.worker.text_metrics import Figures, TextMetrics
from services.worker.text_requests import TextRequests
from services.worker.text_rpc import TextDoor
from services.worker.vllm_metrics import VllmNames
from shared import metrics as shared_metrics
from shared.addresses import HostPort
from shared.errors import LoadFailed, ServingError
from shared.health import HealthBoard
from shared.membership import REPORTS_PER_LEASE, Hello
from shared.tasks import TaskScope, task_scope
from shared.wire.health import SERVICE_NAME as HEALTH_SERVICE_NAME
from shared.wire.health import health_routes
from shared.wire.interface import Server
from shared.wire.membership import Membership, Registrar
from shared.wire.mutual import between_services
from shared.wire.predict_service import SERVICE_NAME
from shared.wire.text_codec import SERVICE_NAME as TEXT_SERVICE_NAME
from shared.wire.wires import wire_named

log = structlog.get_logger()

# Time for masters to hear that this worker drains, and for the last answers to be written.
_CLOSE_GRACE_SECONDS = 1.0


class Worker:
    """A running worker."""

    def __init__(
        self,
        server: Server,
        front: Server,
        servings: Servings,
        requests: Requests,
        registrar: Registrar,
        health: HealthBoard,
    ) -> None:
        self._server = server
        self._front = front
        self._servings = servings
        self._requests = requests
        self._registrar = registrar
        self._health = health

    @property
    def address(self) -> str:
        """Where masters call and agents register."""
        return self._server.addresses[0]

    async def drain(self) -> None:
        """Have masters send nothing new, and return when accepted requests are answered."""
        self._health.stop()
        self._servings.drain()
        await self._requests.drained()
        await self._front.close(_CLOSE_GRACE_SECONDS)
        # Else agents would stay for the whole grace.
        await self._registrar.close()
        await self._server.close(_CLOSE_GRACE_SECONDS)


@asynccontextmanager
async def open_worker(settings: WorkerSettings) -> AsyncIterator[Worker]:
    """A worker that listens, and stays registered with its masters, while inside."""
    wire = wire_named(settings.wire)
    peers = between_services(wire, settings.peer_tls)
    registry = shared_metrics.new_registry()
    metrics = Metrics(registry)
    health = HealthBoard()
    health.set("", True)
    repository = _repository(settings)
    first = await asyncio.to_thread(repository.load_first)
    gangs = await asyncio.to_thread(_gang_rules, settings)
    exported = HostPort.parse(settings.metrics_address) if settings.metrics_address else None
    never_fits: asyncio.Future[NoReturn] = asyncio.get_running_loop().create_future()
    with shared_metrics.exporter(registry, exported):
        async with task_scope() as scope:
            # Servings and memberships know of one another, and so do pipelines and methods;
            # each is built before it is first spoken to.
            def offers_changed() -> None:
                membership.changed()
                called = bool(settings.clients_address) and not servings.draining
                health.set_servables(servings.readiness() | {SERVICE_NAME: called})

            def unfit(failure: ServingError) -> None:
                if settings.fail_fast and not never_fits.done():
                    never_fits.set_exception(LoadFailed(failure.message))

            servings = Servings(
                peers,
                scope,
                metrics,
                min_agents=settings.min_agents,
                agents_at_start=settings.agents_at_start,
                max_calls=settings.max_calls,
                batching=settings.batching,
                changed=offers_changed,
                gangs=gangs,
                notify=lambda *news: registrar.notify(*news),  # noqa: PLW0108 (see above)
                expel=lambda *news: registrar.expel(*news),  # noqa: PLW0108 (see above)
                unfit=unfit,
            )
            registrar = Registrar(Members(servings), settings.lease_seconds)
            functions = _function_stages(settings, scope, metrics)
            pipelines = Pipelines(
                settings.pipeline_threads,
                scope,
                functions,
                lambda *call: methods.run(*call),  # noqa: PLW0108 (see above)
            )
            runner = GraphRunner(pipelines, metrics)
            methods = Methods(servings, runner)
            requests = Requests(servings, runner, metrics, max_calls=settings.max_calls)
            door = DispatchDoor(requests, max_calls=settings.max_calls)
            texts = _text_door(servings, requests, registry, settings)
            rollout = Rollout(repository, servings, functions, scope, metrics, unfit=unfit)
            clients = ClientDoor(
                requests,
                servings,
                request_timeout_seconds=settings.request_timeout_seconds,
                max_request_timeout_seconds=settings.max_request_timeout_seconds,
            )
            try:
                async with (
                    peers.serve(
                        door.routes
                        | registrar.routes
                        | texts.routes
                        | RepositoryDoor(rollout).routes
                        | GangsDoor(servings, gangs.table).routes
                        | health_routes(health),
                        [settings.listen],
                    ) as server,
                    wire.serve(
                        clients.routes | texts.routes | health_routes(health),
                        [settings.clients_address] if settings.clients_address else [],
                        max_message_bytes=settings.max_message_mb << 20,
                        reflect=[SERVICE_NAME, TEXT_SERVICE_NAME, HEALTH_SERVICE_NAME],
                    ) as front,
                ):
                    hello = _hello(settings, server.addresses[0])
                    membership = Membership(
                        peers,
                        lambda: hello,
                        servings.offers,
                        lambda: requests.outstanding,
                        lambda notice: None,
                    )
                    rollout.begin(first)
                    offers_changed()
                    scope.spawn(registrar.expel_silent(), name="lease watch")
                    scope.spawn(_wait_for_gang(servings, settings), name="first gang")
                    scope.spawn(_wait(never_fits), name="fail fast")
                    scope.spawn(
                        keep_joined(
                            membership,
                            settings.masters,
                            scope,
                            period_seconds=settings.lease_seconds / REPORTS_PER_LEASE,
                        ),
                        name="memberships",
                    )
                    if settings.watch_seconds:
                        scope.spawn(
                            rollout.watch(first.found, settings.watch_seconds), name="repository"
                        )
                    log.info(
                        "listening",
                        masters_and_agents=server.addresses[0],
                        clients=next(iter(front.addresses), "through masters"),
                        servables=[str(loaded.what) for loaded in first.loaded],
                    )
                    yield Worker(server, front, servings, requests, registrar, health)
            finally:
                pipelines.close()
                functions.close()


def _text_door(
    servings: Servings, requests: Requests, registry: CollectorRegistry, settings: WorkerSettings
) -> TextDoor:
    metrics = TextMetrics(lambda: _figures(servings))
    registry.register(metrics)
    if settings.vllm_metric_names:
        registry.register(VllmNames(metrics))
    return TextDoor(TextRequests(servings, requests, metrics))


def _figures(servings: Servings) -> list[Figures]:
    return [
        Figures(*serving.what, serving.language.figures)
        for serving in servings.language_models
        if serving.language is not None
    ]


def _hello(settings: WorkerSettings, address: str) -> Hello:
    advertised = settings.advertise or str(HostPort.parse(address).as_seen_from_afar)
    return Hello(uuid.uuid4().hex, advertised)


def _repository(settings: WorkerSettings) -> Repository:
    return Repository(
        settings.servable_directory,
        [Wanted.parse(text) for text in settings.servables],
        VersionPolicy.parse(settings.version_policy),
        max_batch_size=settings.max_batch_size,
    )


def _gang_rules(settings: WorkerSettings) -> GangRules:
    table = RankTable.read(settings.rank_table) if settings.rank_table else RankTable()
    return GangRules(
        settings.gang_start_seconds, settings.gang_call_seconds, settings.compare_ranks, table
    )


async def _wait_for_gang(servings: Servings, settings: WorkerSettings) -> None:
    """Wait for the first gang; raises LoadFailed in the original's words when it is late."""
    pool, seconds = servings.ranks, settings.wait_agents_seconds
    if pool is None or not seconds:
        return
    try:
        async with asyncio.timeout(seconds):
            while not pool:
                await servings.refreshed()
    except TimeoutError:
        raise LoadFailed(
            "Failed to wait for ready of all agents, current agents count:"
            f" {pool.formation.ranks_there}, rank size: {pool.distribution.rank_size}:"
            f" {pool.absence}"
        ) from None


async def _wait(never_fits: asyncio.Future[NoReturn]) -> None:
    await never_fits


def _function_stages(
    settings: WorkerSettings, scope: TaskScope, metrics: Metrics
) -> FunctionStages | StageProcesses:
    if not settings.stage_processes:
        return FunctionStages(settings.stage_threads, scope)
    return StageProcesses(
        settings.stage_processes,
        scope,
        settings.servable_directory,
        metrics,
        hang_seconds=settings.stage_hang_seconds,
    )
