"""A row of processes as ours stand in one, each of which does next to nothing."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.messages import Call, ms_service
from benchmarks.peers.environment import ROOT, Environment
from benchmarks.peers.told import described_for_servers
from benchmarks.processes import Command
from benchmarks.works import Work


class RowFloor:
    """Our wire in front, bytes passed on, one answer made beforehand."""

    protocol = "gRPC"
    requirements: tuple[str, ...] = ()

    def __init__(self, length: int) -> None:
        self.name = f"row-of-{length}"
        self.remark = (
            f"a floor, no server: {length} processes; the first serves gRPC with our wire,"
            f" {f'{length - 2} pass' if length > 3 else 'one passes'} bytes on, the last one"
            " answers what it knows beforehand, one request at a time; uvloop"
        )
        self._length = length

    def refuses(self, work: Work) -> str:
        return "its answer is known beforehand" if work.staged or work.model else ""

    def prepare(self, environment: Environment) -> None:
        """Nothing: it runs from the working copy."""

    def commands(
        self, work: Work, folder: Path, port: int, environment: Environment
    ) -> Sequence[Command]:
        program = [environment.python, "-m", "benchmarks.peers.servers.row_floor"]
        return [
            Command(
                [*program, str(port), str(self._length)],
                {**described_for_servers(work), "PYTHONPATH": str(ROOT)},
            )
        ]

    def call(self, work: Work) -> Call:
        return ms_service(work, "bench", "predict")

    def version(self, environment: Environment) -> str:
        return environment.version_of("uvloop")
