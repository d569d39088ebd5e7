"""Runs the methods that pipelines call: those of the servables that this worker serves."""

from collections.abc import Sequence

from services.worker.graph.runner import GraphRunner
from services.worker.instances import Outcome, Values
from services.worker.servings import Servings
from shared.errors import InvalidRequest, NotServed, Unavailable
from shared.method_calls import CalledMethod
from shared.servable import ServableVersion, request_text
from shared.urgency import Urgency


class Methods:
    """Finds servable versions here; pipelines call no others."""

    def __init__(self, servings: Servings, runner: GraphRunner) -> None:
        self._servings = servings
        self._runner = runner

    async def run(
        self,
        caller: ServableVersion,
        called: CalledMethod,
        instances: Sequence[Values],
        urgency: Urgency,
    ) -> list[Outcome]:
        """An outcome for each instance.

        Raises NotServed for what is not served here, and InvalidRequest for another pipeline
        or for instances that are none of the method's.
        """
        what = self._what(caller, called)
        serving = self._servings.find(what)
        if serving is None or not serving.ready:
            raise Unavailable(f"{what} is not served here now")
        plan = serving.plans.get(called.method)
        if plan is None:
            asked = request_text(what.servable, called.method)
            raise NotServed(f"{asked}, method is not available")
        if plan.method.is_pipeline:
            raise InvalidRequest(
                f"'{called.method}' is a pipeline itself; a pipeline calls methods"
            )
        expected = len(plan.method.input_names)
        for index, instance in enumerate(instances):
            if len(instance) != expected:
                raise InvalidRequest(
                    f"The inputs count {len(instance)} of instance {index} is not equal to the"
                    f" inputs count {expected} of the method"
                )
        serving.count(+1)
        try:
            return await self._runner.run(what, plan, serving.models, instances, urgency)
        finally:
            serving.count(-1)

    def _what(self, caller: ServableVersion, called: CalledMethod) -> ServableVersion:
        if called.servable == caller.servable and not called.version:
            return caller
        version = self._servings.resolve(called.servable, called.method, called.version)
        return ServableVersion(called.servable, version)
