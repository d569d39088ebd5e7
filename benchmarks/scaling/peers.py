"""Mindserve in the shapes that scaling asks for."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.environment import ROOT, Environment
from benchmarks.peers.mindserve import Mindserve
from benchmarks.processes import Command
from benchmarks.works import Work
from shared.ports import free_port

OURS = Environment(ROOT, own=True)
LEAKY_STAGE = """
kept = []


def leak(y):
    kept.append(bytes(4096))
    sum(map(len, kept[::8]))
    return y


@register.register_method(output_names=["y"])
def leaking(x):
    y = register.add_stage(model, x, outputs_count=1)
    return register.add_stage(leak, y, outputs_count=1)
"""


class LeakingMindserve(Mindserve):
    """The control: a Python stage that keeps 4 KB of each request and looks through them."""

    method = "leaking"

    def config(self, work: Work) -> str:
        return super().config(work) + LEAKY_STAGE


class SimulatedWorkers(Mindserve):
    """A real master (the first process) and any number of workers in one other process."""

    def __init__(self, name: str, wire: str, workers: int) -> None:
        super().__init__(name, wire)
        self._workers = workers

    def commands(
        self, work: Work, folder: Path, port: int, environment: Environment
    ) -> Sequence[Command]:
        joins = f"127.0.0.1:{free_port()}"
        simulated = [environment.python, "-m", "benchmarks.scaling.simulated", "--master", joins,
                     "--workers", str(self._workers), "--wire", self.wire]  # fmt: skip
        return [
            self.service(environment, "master", "--listen", f"127.0.0.1:{port}",
                         "--membership-address", joins),
            Command(simulated, {"PYTHONPATH": str(ROOT)}),
        ]  # fmt: skip
