"""A bare ASGI callable under uvicorn in one process: what HTTP and JSON alone cost."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.messages import Call, rest_instances
from benchmarks.peers.environment import ROOT, Environment
from benchmarks.peers.told import described_for_servers
from benchmarks.processes import Command
from benchmarks.works import Work


class AsgiFloor:
    """Nothing but the protocol and the model."""

    name = "asgi"
    protocol = "HTTP/1.1, JSON (b, e: base64 in JSON)"
    requirements: tuple[str, ...] = ()
    remark = (
        "a floor, no server: one process of uvicorn (httptools, uvloop) and orjson, no batching,"
        " no queue, no stages"
    )

    def refuses(self, work: Work) -> str:
        return "it does not batch" if work.latency_seconds else ""

    def prepare(self, environment: Environment) -> None:
        """Nothing: uvicorn is a dependency of ours."""

    def commands(
        self, work: Work, folder: Path, port: int, environment: Environment
    ) -> Sequence[Command]:
        return [
            Command(
                [environment.python, "-m", "benchmarks.peers.servers.asgi_floor", str(port)],
                {**described_for_servers(work), "PYTHONPATH": str(ROOT)},
            )
        ]

    def call(self, work: Work) -> Call:
        return rest_instances(work, "/predict")

    def version(self, environment: Environment) -> str:
        return environment.version_of("uvicorn")
