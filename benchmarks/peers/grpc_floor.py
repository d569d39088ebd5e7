"""A bare grpc.aio server in one process: what the gRPC library alone costs."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.messages import Call, ms_service
from benchmarks.peers.environment import ROOT, Environment
from benchmarks.peers.told import described_for_servers
from benchmarks.processes import Command
from benchmarks.works import Work


class GrpcFloor:
    """Nothing but the protocol and the model."""

    name = "grpc.aio"
    protocol = "gRPC"
    requirements: tuple[str, ...] = ()
    remark = "a floor, no server: one process, no batching, no queue, no stages; uvloop"

    def refuses(self, work: Work) -> str:
        return "it does not batch" if work.latency_seconds else ""

    def prepare(self, environment: Environment) -> None:
        """Nothing: grpc is a dependency of ours."""

    def commands(
        self, work: Work, folder: Path, port: int, environment: Environment
    ) -> Sequence[Command]:
        return [
            Command(
                [environment.python, "-m", "benchmarks.peers.servers.grpc_floor", str(port)],
                {**described_for_servers(work), "PYTHONPATH": str(ROOT)},
            )
        ]

    def call(self, work: Work) -> Call:
        return ms_service(work, "bench", "predict")

    def version(self, environment: Environment) -> str:
        return environment.version_of("grpcio")
