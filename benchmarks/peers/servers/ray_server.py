"""``python ray_server.py PORT``: a local Ray cluster that serves one application."""

import signal
import sys
import tempfile
from collections.abc import Callable

import numpy as np
import ray
from bench_model import WORK, after, before, parse, run, run_batch
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0})
class Bench:
    """One request a call, or a batch of them."""

    async def __call__(self, request: Request) -> Response:
        tensor = await request.body()
        answer = await self.batched(tensor) if WORK["max_batch"] else run(parse(tensor)).tobytes()
        return Response(answer, media_type="application/octet-stream")

    @serve.batch(max_batch_size=WORK["max_batch"] or 1, batch_wait_timeout_s=0.002)
    async def batched(self, tensors: list[bytes]) -> list[bytes]:
        return [each.tobytes() for each in run_batch([parse(each) for each in tensors])]


@serve.deployment(max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0})
class Stage:
    """One of the three."""

    def __init__(self, function: Callable[[np.ndarray], np.ndarray]) -> None:
        self._function = function

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return self._function(rows)


@serve.deployment(max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0})
class Staged:
    """What hands a request from stage to stage."""

    def __init__(self, *stages: DeploymentHandle) -> None:
        self._stages = stages

    async def __call__(self, request: Request) -> Response:
        rows = parse(await request.body())
        for stage in self._stages:
            rows = stage.remote(rows)
        return Response((await rows).tobytes(), media_type="application/octet-stream")


def application() -> Application:
    """What is served; the names tell three deployments of one class apart."""
    if not WORK["staged"]:
        return Bench.bind()
    functions = {"before": before, "model": run, "after": after}
    stages = [Stage.options(name=name).bind(each) for name, each in functions.items()]
    return Staged.bind(*stages)


if __name__ == "__main__":
    ray.init(include_dashboard=False, num_cpus=4, _temp_dir=tempfile.gettempdir(),
             configure_logging=False, log_to_driver=False)  # fmt: skip
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(application())
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
