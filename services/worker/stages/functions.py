"""Calls Python stages on threads of the worker."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from services.worker.instances import Outcome, Values
from services.worker.stages.chunks import call_function
from services.worker.stages.messages import StagePlace
from services.worker.stages.model_calls import Models, StageCaller
from services.worker.stages.paces import Paces
from shared.model_calls import calls_answered_by
from shared.servable import ServableVersion
from shared.stage_graph import FunctionCall, Stage
from shared.tasks import TaskScope
from shared.urgency import Urgency


class FunctionStages:
    """A bounded set of threads for the Python stages of every servable."""

    def __init__(self, threads: int, scope: TaskScope) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="stage")
        self._scope = scope
        self.paces = Paces()

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
        """An outcome for each instance, in order; ``where`` begins the text of failures.

        ``models`` answer what the function asks with ``Model.call``, as urgently as it is.
        """
        loop = asyncio.get_running_loop()
        caller = StageCaller(self._scope, models, urgency)

        def run() -> tuple[list[Outcome], float]:
            began = time.perf_counter()
            with calls_answered_by(caller):
                outcomes = call_function(stage, call, where, instances)
            return outcomes, time.perf_counter() - began

        try:
            outcomes, took = await loop.run_in_executor(self._threads, run)
        finally:
            caller.close()
        self.paces.note(place, took, len(instances))
        return outcomes

    async def add(self, what: ServableVersion) -> None:
        """Nothing to do: its functions were imported here."""

    def forget(self, what: ServableVersion) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Start nothing more. A function that never returns is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
