"""Mindserve: master, worker and one agent with the reference backend."""

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.messages import Call, ms_service, rest_instances
from benchmarks.mindir.models import file_of
from benchmarks.peers.environment import ROOT, Environment
from benchmarks.processes import Command
from benchmarks.works import Work
from shared.ports import free_port

CONFIG = """from mindspore_serving.server import register

model = register.declare_model(model_file="{file}", model_format="{format}")


@register.register_method(output_names=["y"])
def predict(x):
    return register.add_stage(model, x, outputs_count=1)
"""
STAGED = """

def before(x):
    return x + 1


def after(y):
    return y - 1


@register.register_method(output_names=["y"])
def staged(x):
    x = register.add_stage(before, x, outputs_count=1)
    y = register.add_stage(model, x, outputs_count=1)
    return register.add_stage(after, y, outputs_count=1)
"""


class Mindserve:
    """Our services, on one of their wires: all three, or without the master."""

    method = "predict"
    requirements: tuple[str, ...] = ()

    def __init__(self, name: str, wire: str, *, direct: bool = False, rest: bool = False) -> None:
        self.name = name
        self.protocol = "HTTP/1.1, JSON (b, e: base64 in JSON)" if rest else "gRPC"
        self._rest = rest
        self.remark = (
            f"{'clients call the worker;' if direct else 'master,'} worker, agent and device"
            " process; batches of at most 32, without waiting;"
            f" work d: Python stages on threads of the worker; wire {wire}"
        )
        self.wire = wire
        self._direct = direct

    def refuses(self, work: Work) -> str:
        return ""

    def prepare(self, environment: Environment) -> None:
        """Nothing: it runs from the working copy."""

    def commands(
        self, work: Work, folder: Path, port: int, environment: Environment
    ) -> Sequence[Command]:
        _write_servable(work, self.config(work), folder / "servables" / "bench")
        joins, listens = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        worker = [
            "worker", "--listen", listens, "--masters", joins,
            "--servable-directory", str(folder / "servables"),
            "--max-batch-size", str(work.max_batch or 32),
        ]  # fmt: skip
        front = f"127.0.0.1:{port}"
        if self._direct:
            first = [self.service(environment, *worker, "--clients-address", front)]
        else:
            master = ["master", "--membership-address", joins]
            if self._rest:
                master += ["--listen", f"127.0.0.1:{free_port()}", "--rest-address", front]
            else:
                master += ["--listen", front]
            first = [self.service(environment, *master), self.service(environment, *worker)]
        return [*first, self.service(environment, "agent", "--worker", listens)]

    def config(self, work: Work) -> str:
        """The servable_config.py of a work."""
        if work.model:
            return CONFIG.format(file=f"{work.model}.mindir", format="MindIR")
        return CONFIG.format(file="model.json", format="Reference") + STAGED

    def call(self, work: Work) -> Call:
        method = "staged" if work.staged else self.method
        if self._rest:
            return rest_instances(work, f"/model/bench:{method}")
        return ms_service(work, "bench", method)

    def version(self, environment: Environment) -> str:
        return environment.version_of("mindserve")

    def service(self, environment: Environment, name: str, *arguments: str) -> Command:
        """One of our services."""
        program = [environment.python, "-m", f"services.{name}", "--wire", self.wire]
        return Command([*program, "--log-level", "warning", *arguments], {"PYTHONPATH": str(ROOT)})


def _write_servable(work: Work, config: str, folder: Path) -> None:
    (folder / "1").mkdir(parents=True)
    (folder / "servable_config.py").write_text(config)
    if work.model:
        (folder / "1" / f"{work.model}.mindir").symlink_to(file_of(work))
        return
    model = {
        "function": work.function,
        "inputs": [{"name": "x", "dtype": "float32", "dims": [-1, work.inputs]}],
        "outputs": [{"name": "y", "dtype": "float32", "dims": [-1, work.outputs]}],
        "latency_seconds": work.latency_seconds,
    }
    (folder / "1" / "model.json").write_text(json.dumps(model))
