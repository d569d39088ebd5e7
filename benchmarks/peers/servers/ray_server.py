"""``python ray_server.py PORT``: a local Ray cluster that serves one application."""

import signal
import sys
import tempfile

import ray
from bench_model import WORK, parse, run, run_batch
from ray import serve
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


if __name__ == "__main__":
    ray.init(include_dashboard=False, num_cpus=4, _temp_dir=tempfile.gettempdir(),
             configure_logging=False, log_to_driver=False)  # fmt: skip
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Bench.bind())
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
