"""Parts of requests given to stage processes: the shell around the line.

An idle process gets the next run at once. One that works on a short run gets the next of the
same request already, so that it never waits for the worker; what belongs to another request
waits here, because functions may hang.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from services.worker.instances import Outcome
from services.worker.stages.chunks import chunk_size
from services.worker.stages.handle import StageHandle
from services.worker.stages.line import Line, Part, deliver
from services.worker.stages.messages import MEMORIES
from services.worker.stages.paces import Paces
from services.worker.stages.turn import Run
from services.worker.stages.work import StageWork
from shared.errors import LoadFailed, StageFailed
from shared.tasks import TaskScope

log = structlog.get_logger()

_MOST_IMPORTS = 3
# Behind a run that takes longer none waits: another process may be idle before.
_SHORT_SECONDS = 0.1
# A process that has done all it was given within this time may get more of it.
_SOON_SECONDS = 0.005
# The step of the event loop's clock: timers may be early by so much.
_CLOCK_SECONDS = 0.001


@dataclass(slots=True, eq=False)
class _Caller:
    """Somebody who waits for parts."""

    done: asyncio.Future[None]
    missing: int

    def arrived(self) -> None:
        """One more part is finished."""
        self.missing -= 1
        if not self.missing and not self.done.done():
            self.done.set_result(None)


@dataclass(slots=True, eq=False)
class _Given:
    """Parts of one stage of one request that a process was given."""

    handle: StageHandle
    parts: Sequence[Part[StageWork]]
    seconds: float
    """What they take, as far as is known; 0 while nobody knows."""
    ends_at: float
    task: asyncio.Task[None] | None = None
    run: Run | None = None
    """None while the process still imports the servable."""

    @property
    def is_wanted(self) -> bool:
        return any(part.wanted for part in self.parts)


def _takes_more_at(given: Sequence[_Given]) -> float:
    """When a process with these runs may get the next: one is always at hand, more only soon."""
    return 0.0 if len(given) == 1 else given[-1].ends_at - _SOON_SECONDS


class StageRuns:
    """Has stage processes work on parts of requests.

    ``idle`` says whether it takes a process that has nothing to do.
    """

    def __init__(
        self,
        processes: int,
        scope: TaskScope,
        *,
        hang_seconds: float,
        idle: Callable[[StageHandle], bool],
    ) -> None:
        self._scope = scope
        self._hang_seconds = hang_seconds
        self._idle = idle
        self._given: dict[StageHandle, list[_Given]] = {}
        """Every process that may be given work, with what it has: the first it works on."""
        self._callers: dict[Part[StageWork], _Caller] = {}
        self._starts_soon = False
        self._later: asyncio.TimerHandle | None = None
        self.paces = Paces()
        self._line = Line[StageWork](
            processes,
            order_of=lambda work: (work.request, -work.place.stage),
            seconds_of=lambda work: self.paces.seconds(work.place),
        )

    async def finished(self, parts: Sequence[Part[StageWork]]) -> list[Outcome]:
        """Have processes work on parts; the outcomes of all of them, in order."""
        caller = _Caller(asyncio.get_running_loop().create_future(), len(parts))
        for part in parts:
            self._callers[part] = caller
            self._line.add(part)
        self._start_soon()
        try:
            await caller.done
        finally:
            for part in parts:
                part.wanted = False
                del self._callers[part]
            if caller.missing:
                self._end_unwanted(parts)
        return [outcome for part in parts for outcome in part.outcomes]

    def add(self, handle: StageHandle) -> None:
        """A process may be given work."""
        if handle.alive:
            self._given[handle] = []
            self._became_idle(handle)
            self._start()

    def _became_idle(self, handle: StageHandle) -> None:
        if self._idle(handle):
            del self._given[handle]

    def take_idle(self) -> list[StageHandle]:
        """The processes that have nothing to do, which get nothing until they are added again."""
        idle = [handle for handle, given in self._given.items() if not given]
        for handle in idle:
            del self._given[handle]
        return idle

    def _start_soon(self) -> None:
        """At the end of this turn of the event loop: parts that come in it share runs."""
        if not self._starts_soon:
            self._starts_soon = True
            asyncio.get_running_loop().call_soon(self._start_once)

    def _start_once(self) -> None:
        self._starts_soon = False
        self._start()

    def _start(self) -> None:
        """Give parts to processes while there are both."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        while (work := self._line.next_work()) is not None:
            handle = self._free_for(work)
            if handle is None:
                self._start_later(work)
                return
            parts = self._line.take()
            count = sum(len(part.rest) for part in parts)
            seconds = count * self.paces.seconds(work.place)
            before = self._given[handle]
            now = asyncio.get_running_loop().time()
            begins = max(now, before[-1].ends_at) if before else now
            given = _Given(handle, parts, seconds, begins + seconds)
            before.append(given)
            given.task = self._scope.spawn(self._serve(given), name="run of a stage")

    def _start_later(self, work: StageWork) -> None:
        """At the moment from which on a process may have it at hand."""
        moments = [at for given in self._with_work(work) if (at := _takes_more_at(given)) > 0]
        if moments:
            self._later = asyncio.get_running_loop().call_at(min(moments), self._start)

    def _free_for(self, work: StageWork) -> StageHandle | None:
        """An idle process, or the one that will be the first to have done its short runs."""
        for handle, given in self._given.items():
            if handle.alive and not given:
                return handle
        now = asyncio.get_running_loop().time() + _CLOCK_SECONDS
        ready = [given[-1] for given in self._with_work(work) if _takes_more_at(given) <= now]
        best = min(ready, key=lambda last: last.ends_at, default=None)
        return best.handle if best is not None else None

    def _with_work(self, work: StageWork) -> list[list[_Given]]:
        """What those processes have that may get more of the same request, to have it at hand."""
        return [
            given
            for handle, given in self._given.items()
            if handle.alive
            and 0 < len(given) < MEMORIES
            and work.place.what in handle.loaded
            and given[-1].parts[0].work.request == work.request
            and 0 < given[-1].seconds <= _SHORT_SECONDS
        ]

    async def _serve(self, given: _Given) -> None:
        handle, parts = given.handle, given.parts
        work = parts[0].work
        instances = [values for part in parts for values in part.rest]
        try:
            await handle.load(work.place.what)
            if given.is_wanted:
                given.run = handle.begin(work, instances)
                async for outcomes in given.run.outcomes():
                    self._deliver(parts, outcomes)
                self.paces.note(work.place, given.run.took, len(instances))
        except EOFError:
            await self._lost(given)
        except LoadFailed as failure:
            self._fail(parts, failure.message)
        except OSError as failure:
            self._fail(parts, f"no shared memory to be had: {failure.strerror}")
        except Exception as failure:
            # Nobody knows what it still has to say.
            handle.process.kill()
            self._break(parts, failure)
        self._over(given)

    def _over(self, given: _Given) -> None:
        """A process has done a run, or has ended."""
        handle = given.handle
        left = self._given.get(handle, [])
        if given in left:
            left.remove(given)
        if not handle.alive:
            self._given.pop(handle, None)
        elif handle in self._given and not left:
            self._became_idle(handle)
        self._start()

    def _deliver(self, parts: Sequence[Part[StageWork]], outcomes: Sequence[Outcome]) -> None:
        for part in deliver(parts, outcomes):
            caller = self._callers.get(part)
            if caller is not None:
                caller.arrived()

    def _fail(self, parts: Sequence[Part[StageWork]], reason: str) -> None:
        if parts:
            failure = StageFailed(parts[0].work.where + reason)
            self._deliver(parts, [failure] * sum(len(part.rest) for part in parts))

    def _break(self, parts: Sequence[Part[StageWork]], failure: Exception) -> None:
        """The fault is in none of the functions."""
        for part in parts:
            caller = self._callers.get(part)
            if caller is not None and not caller.done.done():
                caller.done.set_exception(failure)

    async def _lost(self, given: _Given) -> None:
        """A process ended: what it worked on has failed, the instances after go to another."""
        left = [part for part in given.parts if part.rest]
        work = given.parts[0].work
        if given.run is None:
            for part in left:
                part.imports += 1
            given_up = [part for part in left if part.imports == _MOST_IMPORTS]
            self._fail(given_up, f"stage processes end while they import {work.place.what}")
        elif left and given.run.was_at_work:
            at_work = min(len(left[0].rest), chunk_size(work.call.batch_size, len(left[0].rest)))
            cause = f"the stage process ended ({await given.handle.process.cause()})"
            self._deliver(left[:1], [StageFailed(work.where + cause)] * at_work)
        self._line.put_back([part for part in left if part.rest and part.wanted])

    def _end_unwanted(self, parts: Sequence[Part[StageWork]]) -> None:
        """A caller left: runs that nobody waits for any more are ended."""
        left = set(parts)
        for runs in self._given.values():
            for given in runs:
                if not given.is_wanted and not left.isdisjoint(given.parts):
                    self._scope.spawn(self._wind_up(given), name="end of a run")

    async def _wind_up(self, given: _Given) -> None:
        """See to it that a process is free again, whatever its function does."""
        assert given.task is not None
        try:
            async with asyncio.timeout(self._hang_seconds):
                if given.run is None:
                    await asyncio.wait([given.task])  # it ends once the import has ended
                    return
                given.task.cancel()
                await asyncio.wait([given.task])
                await given.run.wind_up()
        except TimeoutError:
            log.warning("a stage function hangs: its process is ended")
            given.handle.process.kill()
        except EOFError:
            pass
        self._over(given)
