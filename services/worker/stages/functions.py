"""Calls Python stages on threads of the worker."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from services.worker.instances import Outcome, Values
from services.worker.stages.chunks import call_function
from services.worker.stages.model_calls import StageCaller
from services.worker.stages.paces import Paces
from services.worker.stages.work import StageWork
from shared.model_calls import calls_answered_by
from shared.servable import ServableVersion
from shared.tasks import TaskScope


class FunctionStages:
    """A bounded set of threads for the Python stages of every servable."""

    def __init__(self, threads: int, scope: TaskScope) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="stage")
        self._scope = scope
        self.paces = Paces()

    async def run(self, work: StageWork, instances: Sequence[Values]) -> list[Outcome]:
        """An outcome for each instance, in order."""
        loop = asyncio.get_running_loop()
        caller = StageCaller(self._scope, work.models, work.urgency)

        def run() -> tuple[list[Outcome], float]:
            began = time.perf_counter()
            with calls_answered_by(caller):
                outcomes = call_function(work.stage, work.call, work.where, instances)
            return outcomes, time.perf_counter() - began

        try:
            outcomes, took = await loop.run_in_executor(self._threads, run)
        finally:
            caller.close()
        self.paces.note(work.place, took, len(instances))
        return outcomes

    async def add(self, what: ServableVersion) -> None:
        """Nothing to do: its functions were imported here."""

    def forget(self, what: ServableVersion) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Start nothing more. A function that never returns is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
