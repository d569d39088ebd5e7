"""Stage processes: started, kept warm, given work, started again when they end."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import structlog

from services.worker.instances import Outcome, Values
from services.worker.metrics import Metrics
from services.worker.stages.chunks import chunk_size
from services.worker.stages.handle import StageHandle, spawn
from services.worker.stages.line import Part
from services.worker.stages.paces import Paces
from services.worker.stages.runs import StageRuns
from services.worker.stages.work import StageWork
from shared.errors import LoadFailed
from shared.servable import ServableVersion
from shared.stage_graph import FunctionCall
from shared.tasks import TaskScope

log = structlog.get_logger()

# A process that ends before it has done anything waits twice as long each time.
_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 0.1, 30.0


class StageProcesses:
    """So many processes for the Python stages of every servable in ``directory``.

    A function that goes on for ``hang_seconds`` after its caller has left is ended with
    its process.
    """

    def __init__(
        self,
        count: int,
        scope: TaskScope,
        directory: Path,
        metrics: Metrics,
        *,
        hang_seconds: float,
    ) -> None:
        self._count = count
        self._scope = scope
        self._directory = directory
        self._metrics = metrics
        self._known: list[ServableVersion] = []
        self._warm_handles: set[StageHandle] = set()
        self._imports: dict[ServableVersion, asyncio.Future[None]] = {}
        """Versions that not every process has yet."""
        self._importing = False
        self._started = False
        self._runs = StageRuns(count, scope, hang_seconds=hang_seconds, idle=self._claims)

    @property
    def paces(self) -> Paces:
        """How long functions take."""
        return self._runs.paces

    async def add(self, what: ServableVersion) -> None:
        """Import a version in every process, one after the other: the others go on working.

        Raises LoadFailed when one of them cannot.
        """
        self._known.append(what)
        if not self._started:
            self._started = True
            for number in range(self._count):
                self._scope.spawn(self._keep(number), name=f"stage process {number}")
        done = self._imports[what] = asyncio.get_running_loop().create_future()
        self._import_next()
        try:
            await done
        finally:
            del self._imports[what]

    def _import_next(self) -> None:
        """Let one idle process import what it has not; say what every one of them has."""
        for what, done in self._imports.items():
            has_it = [what in handle.loaded for handle in self._warm_handles]
            if has_it and all(has_it) and not done.done():
                done.set_result(None)
        for handle in self._runs.take_idle():
            self._runs.add(handle)

    def _imports_now(self, handle: StageHandle) -> bool:
        """Whether a process that has nothing to do begins to import what it has not."""
        if self._importing or not handle.alive:
            return False
        for what, done in self._imports.items():
            if not done.done() and what not in handle.loaded:
                self._importing = True
                self._scope.spawn(self._import(handle, what), name=f"import of {what}")
                return True
        return False

    async def _import(self, handle: StageHandle, what: ServableVersion) -> None:
        try:
            await handle.load(what)
        except LoadFailed as failure:
            self._not_imported(what, failure)
        except EOFError:
            cause = await handle.process.cause()
            ended = f"the stage process ended ({cause}) while it imported {what}"
            self._not_imported(what, LoadFailed(ended))
        self._importing = False
        self._runs.add(handle)
        self._import_next()

    def _not_imported(self, what: ServableVersion, failure: LoadFailed) -> None:
        done = self._imports.get(what)
        if done is None or done.done():
            log.error("not imported in a stage process", reason=failure.message)
        else:
            done.set_exception(failure)

    def forget(self, what: ServableVersion) -> None:
        """A version is served no more."""
        if what in self._known:
            self._known.remove(what)
            for handle in self._runs.take_idle():
                self._runs.add(handle)

    def _claims(self, handle: StageHandle) -> bool:
        """Whether a process that has nothing to do is needed here before it gets more."""
        for gone in handle.loaded - set(self._known):
            handle.forget(gone)
        return self._imports_now(handle)

    def close(self) -> None:
        """Nothing to do: the scope ends the processes."""

    async def run(self, work: StageWork, instances: Sequence[Values]) -> list[Outcome]:
        """An outcome for each instance, in order: see ``functions.FunctionStages``."""
        size = self._part_size(work.call, len(instances))
        shares = work.call.batch_size is None
        parts = [
            Part(work, instances[at : at + size], shares) for at in range(0, len(instances), size)
        ]
        return await self._runs.finished(parts)

    def _part_size(self, call: FunctionCall, count: int) -> int:
        """Instances for one process, so that all of them have work: whole chunks."""
        chunk = chunk_size(call.batch_size, count)
        chunks = -(-count // chunk)
        return chunk * -(-chunks // self._count)

    async def _warm(self, handle: StageHandle) -> None:
        """Import what is known, then let it work."""
        for what in tuple(self._known):
            try:
                await handle.load(what)
            except LoadFailed as failure:
                self._not_imported(what, failure)
            except EOFError:
                return
        self._warm_handles.add(handle)
        self._runs.add(handle)
        self._import_next()

    async def _keep(self, number: int) -> None:
        """One process after another."""
        retry = _FIRST_RETRY_SECONDS
        while True:
            try:
                async with spawn(self._directory) as handle:
                    with self._metrics.stage_processes.track_inprogress():
                        await self._warm(handle)
                        await handle.ended.wait()
                    self._warm_handles.discard(handle)
                    self._import_next()
                    cause = await handle.process.cause()
                    log.error("a stage process ended", number=number, cause=cause)
                    worked = handle.worked
            except OSError as failure:
                log.error("no stage process to be had", number=number, reason=failure.strerror)
                # Versions that wait for this process would wait until there is one again.
                for what, done in self._imports.items():
                    if not done.done():
                        reason = f"{what}: no stage process to be had: {failure.strerror}"
                        done.set_exception(LoadFailed(reason))
                cause, worked = "not started", False
            self._metrics.stage_process_ends.labels(cause).inc()
            if worked:
                retry = _FIRST_RETRY_SECONDS
                continue
            await asyncio.sleep(retry)
            retry = min(2 * retry, _LONGEST_RETRY_SECONDS)
