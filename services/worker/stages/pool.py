"""Stage processes: started, kept warm, given work, started again when they end."""

import asyncio
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import structlog

from services.worker.instances import Outcome, Values
from services.worker.stages.chunks import chunk_size
from services.worker.stages.handle import StageHandle, spawn
from services.worker.stages.messages import StagePlace
from services.worker.stages.model_calls import Models
from services.worker.stages.paces import Paces
from shared.errors import LoadFailed, StageFailed
from shared.servable import ServableVersion
from shared.stage_graph import FunctionCall, Stage
from shared.tasks import TaskScope, task_scope
from shared.urgency import Urgency

log = structlog.get_logger()

# A process that ends before it has done anything waits twice as long each time.
_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 0.1, 30.0
_MOST_IMPORTS = 3


class StageProcesses:
    """So many processes for the Python stages of every servable in ``directory``.

    A function that goes on for ``hang_seconds`` after its caller has left is ended with
    its process.
    """

    def __init__(
        self, count: int, scope: TaskScope, directory: Path, *, hang_seconds: float
    ) -> None:
        self._count = count
        self._scope = scope
        self._directory = directory
        self._hang_seconds = hang_seconds
        self._known: list[ServableVersion] = []
        self._idle: deque[StageHandle] = deque()
        self._waiting: deque[asyncio.Future[StageHandle]] = deque()
        self._warm_handles: set[StageHandle] = set()
        self._imports: dict[ServableVersion, asyncio.Future[None]] = {}
        """Versions that not every process has yet."""
        self._importing = False
        self._started = False
        self.paces = Paces()

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
        for handle in self._idle:
            if self._imports_now(handle):
                self._idle.remove(handle)
                return

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
        self._give_back(handle)
        self._import_next()

    def _not_imported(self, what: ServableVersion, failure: LoadFailed) -> None:
        done = self._imports.get(what)
        if done is None or done.done():
            log.error("not imported in a stage process", reason=failure.message)
        else:
            done.set_exception(failure)

    def forget(self, what: ServableVersion) -> None:
        """A version is served no more."""
        if what not in self._known:
            return
        self._known.remove(what)
        for handle in self._idle:
            handle.forget(what)

    def close(self) -> None:
        """Nothing to do: the scope ends the processes."""

    async def run(
        self,
        place: StagePlace,
        stage: Stage,
        call: FunctionCall,
        where: str,
        instances: Sequence[Values],
        models: Models,
        urgency: Urgency,
    ) -> list[Outcome]:
        """An outcome for each instance, in order: see ``functions.FunctionStages``."""
        del stage
        part = self._part_size(call, len(instances))
        parts = [instances[at : at + part] for at in range(0, len(instances), part)]
        if len(parts) == 1:
            return await self._run_part(place, call, where, instances, models, urgency)
        async with task_scope() as scope:
            running = [
                scope.spawn(
                    self._run_part(place, call, where, each, models, urgency), name=place.method
                )
                for each in parts
            ]
            found = await asyncio.gather(*running)
        return [outcome for outcomes in found for outcome in outcomes]

    def _part_size(self, call: FunctionCall, count: int) -> int:
        """Instances for one process, so that all of them have work: whole chunks."""
        chunk = chunk_size(call.batch_size, count)
        chunks = -(-count // chunk)
        return chunk * -(-chunks // self._count)

    async def _run_part(
        self,
        place: StagePlace,
        call: FunctionCall,
        where: str,
        instances: Sequence[Values],
        models: Models,
        urgency: Urgency,
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while len(outcomes) < len(instances):
            rest = instances[len(outcomes) :]
            try:
                handle = await self._take_with(place.what)
            except (EOFError, LoadFailed) as failure:
                outcomes += [StageFailed(f"{where}{failure}")] * len(rest)
                break
            try:
                async for more in handle.run(place, where, rest, models, urgency):
                    outcomes += more
            except EOFError:
                # What it was working on is lost; the instances after go to another one.
                failed = chunk_size(call.batch_size, len(rest))
                lost = StageFailed(
                    f"{where}the stage process ended ({await handle.process.cause()})"
                )
                outcomes += [lost] * min(failed, len(instances) - len(outcomes))
            except OSError as failure:
                reason = f"{where}no shared memory to be had: {failure.strerror}"
                outcomes += [StageFailed(reason)] * (len(instances) - len(outcomes))
                self._give_back(handle)
            except asyncio.CancelledError:
                self._scope.spawn(self._wind_up(handle), name=f"end of {place.method}")
                raise
            except BaseException:
                # Nobody knows what it still has to say.
                handle.process.kill()
                raise
            else:
                self.paces.note(place, handle.took, len(rest))
                self._give_back(handle)
        return outcomes

    async def _take_with(self, what: ServableVersion) -> StageHandle:
        """An idle process that has imported ``what``; raises LoadFailed or EOFError."""
        for _ in range(_MOST_IMPORTS):
            handle = await self._take()
            try:
                await handle.load(what)
            except EOFError:
                continue
            except LoadFailed:
                self._give_back(handle)
                raise
            except asyncio.CancelledError:
                self._scope.spawn(self._wind_up(handle), name=f"end of the import of {what}")
                raise
            return handle
        raise EOFError(f"stage processes end while they import {what}")

    async def _take(self) -> StageHandle:
        while self._idle:
            handle = self._idle.popleft()
            if handle.alive:
                return handle
        turn: asyncio.Future[StageHandle] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back(turn.result())
            raise

    def _give_back(self, handle: StageHandle) -> None:
        if not handle.alive:
            return
        for gone in handle.loaded - set(self._known):
            handle.forget(gone)
        if self._imports_now(handle):
            return
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(handle)
                return
        self._idle.append(handle)

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
        self._give_back(handle)
        self._import_next()

    async def _wind_up(self, handle: StageHandle) -> None:
        """A caller left while its function runs."""
        try:
            async with asyncio.timeout(self._hang_seconds):
                await handle.wind_up()
        except TimeoutError:
            log.warning("a stage function hangs: its process is ended")
            handle.process.kill()
        except EOFError:
            return
        else:
            self._give_back(handle)

    async def _keep(self, number: int) -> None:
        """One process after another."""
        retry = _FIRST_RETRY_SECONDS
        while True:
            try:
                async with spawn(self._directory) as handle:
                    await self._warm(handle)
                    await handle.ended.wait()
                    self._warm_handles.discard(handle)
                    self._import_next()
                    cause = await handle.process.cause()
                    log.error("a stage process ended", number=number, cause=cause)
                    worked = handle.worked
            except OSError as failure:
                log.error("no stage process to be had", number=number, reason=failure.strerror)
                worked = False
            if worked:
                retry = _FIRST_RETRY_SECONDS
                continue
            await asyncio.sleep(retry)
            retry = min(2 * retry, _LONGEST_RETRY_SECONDS)
