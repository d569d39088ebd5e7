"""Brings servable versions into service and out of it, while others are being called."""

import asyncio
from collections.abc import Callable

import structlog

from services.worker.metrics import Metrics
from services.worker.servable.intent import Intent, changes
from services.worker.servable.looks import Fingerprint, Found, Looks
from services.worker.servable.repository import First, Repository
from services.worker.serving import Serving
from services.worker.servings import Servings
from services.worker.stages.functions import FunctionStages
from services.worker.stages.pool import StageProcesses
from shared.errors import InternalError, LoadFailed, NotServed, ServingError
from shared.repository import Order, VersionState, VersionStatus
from shared.servable import ServableVersion
from shared.tasks import TaskScope

log = structlog.get_logger()


class Rollout:
    """One task for each version that comes or goes; whatever is asked for meanwhile is heard.

    A version is loaded beside the others, offered once it is ready, and those that it supersedes
    go when their requests are answered. One that cannot be loaded changes nothing; ``unfit`` hears
    why when it is one that the worker started with.
    """

    def __init__(
        self,
        repository: Repository,
        servings: Servings,
        functions: FunctionStages | StageProcesses,
        scope: TaskScope,
        metrics: Metrics,
        *,
        unfit: Callable[[ServingError], None],
    ) -> None:
        self._repository = repository
        self._servings = servings
        self._functions = functions
        self._scope = scope
        self._metrics = metrics
        self._unfit = unfit
        self._now = asyncio.get_running_loop().time
        self._intents: dict[str, Intent] = {}
        self._loads: dict[ServableVersion, asyncio.Task[None]] = {}
        self._retirements: dict[ServableVersion, asyncio.Task[None]] = {}
        self._failures: dict[ServableVersion, ServingError] = {}

    def begin(self, first: First) -> None:
        """Serve what the worker starts with; agents that fail to load it try again for ever."""
        self._failures |= first.failures
        for loaded in first.loaded:
            intent = self._intent(loaded.what.servable)
            # Not an order: what the policy says of these versions goes on being heard.
            wanted = intent.wanted | {loaded.what.version}
            self._intents[loaded.what.servable] = Intent(intent.policy, wanted)
            self._begin(loaded.what, self._servings.add(loaded, keeps_trying=True))

    async def load(self, order: Order) -> list[VersionStatus]:
        """Load a version beside the others, or (0) what the policy chooses in place of them.

        Returns when it can be called, and what it supersedes is called no more. Whoever stops
        waiting does not stop the load. Raises NotServed for what is not in the repository, and
        LoadFailed with the reason: what was served before is served then.
        """
        existing = await self._existing(order, served=False)
        before = self._intent(order.servable)
        intent = before.load(order.version) if order.version else before.load_chosen(existing)
        self._intents[order.servable] = intent
        asked = {order.version} if order.version else intent.wanted
        whats = [ServableVersion(order.servable, version) for version in sorted(asked)]
        for what in whats:
            self._failures.pop(what, None)
        self._change(order.servable)
        await _all([self._loads[what] for what in whats if what in self._loads])
        for what in whats:
            if what in self._failures:
                raise self._failures[what]
        loaded = [status for status in self._statuses(order.servable) if status.what in whats]
        if len(loaded) < len(whats):
            raise LoadFailed(f"{order}: it was unloaded while it was loading")
        return loaded

    async def unload(self, order: Order) -> list[VersionStatus]:
        """Offer a version (0: all of them) no more; returns when its requests are answered.

        Raises NotServed for what is neither served nor in the repository.
        """
        existing = await self._existing(order, served=True)
        intent = self._intent(order.servable)
        self._intents[order.servable] = (
            intent.unload(order.version) if order.version else intent.unload_all()
        )
        self._change(order.servable)
        versions = [order.version] if order.version else list(existing)
        whats = [ServableVersion(order.servable, version) for version in versions]
        await _all([self._retirements[what] for what in whats if what in self._retirements])
        return [VersionStatus(what, VersionState.UNLOADED) for what in sorted(whats)]

    async def index(self) -> list[VersionStatus]:
        """Every version in the repository or served, and how far it is."""
        found = await self._look()
        statuses = {
            what: VersionStatus(what, VersionState.UNLOADED)
            for name, versions in found.items()
            for what in (ServableVersion(name, version) for version in versions)
        }
        for name in found.keys() | self._intents.keys():
            statuses |= {status.what: status for status in self._statuses(name)}
        return [statuses[what] for what in sorted(statuses)]

    async def watch(self, first: Found, period_seconds: float) -> None:
        """Follow the directory until cancelled: see ``Looks`` for what counts."""
        looks = Looks(first)
        known: dict[str, dict[int, Fingerprint]] = looks.see(first)
        said = ""
        while True:
            await asyncio.sleep(period_seconds)
            try:
                found = looks.see(await asyncio.to_thread(self._repository.look))
            except (LoadFailed, OSError) as failure:
                if str(failure) != said:
                    said = str(failure)
                    log.error("the servable directory cannot be read", reason=said)
                continue
            for name in found.keys() | known.keys():
                before, now = known.get(name, {}), found.get(name, {})
                if before != now:
                    self._found(name, before, now)
            known, said = found, ""

    def _found(
        self, name: str, before: dict[int, Fingerprint], now: dict[int, Fingerprint]
    ) -> None:
        # What failed as it was may load as it is.
        changed = [v for v in before.keys() | now.keys() if before.get(v) != now.get(v)]
        again = [self._failures.pop(ServableVersion(name, each), None) for each in changed]
        if before.keys() == now.keys() and not any(again):
            return
        failed = [what.version for what in self._failures if what.servable == name]
        self._intents[name] = self._intent(name).found(now, failed)
        log.info("found", servable=name, versions=sorted(now))
        self._change(name)

    async def _existing(self, order: Order, *, served: bool) -> set[int]:
        """The versions of a servable that are in the repository, or ``served`` from it before."""
        existing = set((await self._look()).get(order.servable, ()))
        if served:
            servings = self._servings.versions_of(order.servable)
            existing |= {serving.what.version for serving in servings}
        if not existing or (order.version and order.version not in existing):
            known = ", ".join(map(str, sorted(existing))) or "none"
            raise NotServed(f"{order} is not in the repository, versions there: {known}")
        return existing

    async def _look(self) -> Found:
        try:
            return await asyncio.to_thread(self._repository.look)
        except (LoadFailed, OSError) as failure:
            log.error("the servable directory cannot be read", reason=str(failure))
            raise LoadFailed("the servable directory cannot be read") from None

    def _intent(self, name: str) -> Intent:
        return self._intents.get(name) or Intent(self._repository.policy_of(name))

    def _change(self, name: str) -> None:
        """Begin what must happen for the intent to come true."""
        servings = [each for each in self._servings.versions_of(name) if not each.retiring]
        loading = [what.version for what in self._loads if what.servable == name]
        ready = [each.what.version for each in servings if each.ready]
        due = changes(
            self._intent(name),
            loading=loading,
            ready=ready,
            serving=[each.what.version for each in servings],
        )
        for version in due.load:
            self._begin(ServableVersion(name, version))
        for version in due.abandon:
            self._abandon(ServableVersion(name, version))
        for serving in servings:
            if serving.what.version in due.retire:
                self._retire(serving)

    def _begin(self, what: ServableVersion, first: Serving | None = None) -> None:
        self._failures.pop(what, None)
        self._loads[what] = self._scope.spawn(self._load(what, first), name=f"load of {what}")

    async def _load(self, what: ServableVersion, first: Serving | None) -> None:
        began = self._now()
        log.info("loading", what=str(what))
        try:
            await self._bring_in(what, first)
        except ServingError as failure:
            self._fail(what, failure, first)
        except Exception:
            log.exception("not loaded", what=str(what))
            internal = InternalError(f"{what}: internal error; the worker's log has it")
            self._fail(what, internal, first)
        else:
            self._metrics.loads.labels(what.servable, "ok").inc()
            self._metrics.load_seconds.observe(self._now() - began)
            log.info("ready", what=str(what))
        del self._loads[what]
        self._change(what.servable)

    async def _bring_in(self, what: ServableVersion, first: Serving | None) -> None:
        """Import, have agents hold it, warm it up; raises LoadFailed."""
        if what in self._retirements:
            await _all([self._retirements[what]])
        serving = first
        if serving is None:
            loaded = await asyncio.to_thread(self._repository.load, what)
            await self._servings.vacated(what)
            serving = self._servings.add(loaded)
        try:
            if not serving.warm:
                await self._functions.add(what)
                self._servings.warmed(serving)
            await serving.settled.wait()
            if serving.progress.state is VersionState.FAILED:
                raise LoadFailed(f"{what}: {serving.progress.detail}")
        except LoadFailed:
            self._servings.drop(serving)
            raise

    def _fail(self, what: ServableVersion, failure: ServingError, first: Serving | None) -> None:
        if first is not None:
            self._unfit(failure)
        self._functions.forget(what)
        self._failures[what] = failure
        self._metrics.loads.labels(what.servable, "failed").inc()
        log.error("not loaded", what=str(what), reason=failure.message)
        servings = self._servings.versions_of(what.servable)
        present = [each.what.version for each in servings if not each.retiring]
        present += [each.version for each in self._loads if each.servable == what.servable]
        self._intents[what.servable] = self._intent(what.servable).failed(what.version, present)

    def _abandon(self, what: ServableVersion) -> None:
        log.info("not wanted any more", what=str(what))
        self._loads.pop(what).cancel()
        serving = self._servings.find(what)
        if serving is not None and not serving.retiring:
            self._servings.drop(serving)
            self._functions.forget(what)

    def _retire(self, serving: Serving) -> None:
        what = serving.what
        retirement = self._take_out(serving)
        self._retirements[what] = self._scope.spawn(retirement, name=f"end of {what}")

    async def _take_out(self, serving: Serving) -> None:
        log.info("retiring", what=str(serving.what))
        try:
            await self._servings.retire(serving)
        finally:
            del self._retirements[serving.what]
        self._functions.forget(serving.what)
        log.info("retired", what=str(serving.what))

    def _statuses(self, name: str) -> list[VersionStatus]:
        statuses = {
            what: VersionStatus(what, VersionState.FAILED, failure.message)
            for what, failure in self._failures.items()
            if what.servable == name
        }
        for what in self._loads:
            if what.servable == name:
                statuses[what] = VersionStatus(what, VersionState.LOADING, "importing")
        for serving in self._servings.versions_of(name):
            what = serving.what
            statuses[what] = VersionStatus(what, serving.state, serving.progress.detail)
        return [statuses[what] for what in sorted(statuses)]


async def _all(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for tasks that go on when their caller leaves."""
    if tasks:
        await asyncio.wait(tasks)
