"""Master, worker and agents as a step deploys them, and the servable that they serve."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.peers.environment import ROOT
from benchmarks.processes import Command, Processes
from benchmarks.seed_steps.steps import DEVICE_MS, Payload, Step
from shared.ports import free_port

SERVABLE = "resnet50"
FUNCTIONS = (Path(__file__).parent / "functions.py").read_text()
CONFIG = """

from mindspore_serving.server import register

model = register.declare_model(model_file="model.json", model_format="Reference")


def preprocess(image):
    return preprocessed(image, {floats})


@register.register_method(output_names=["score"])
def score(image):
    return register.add_stage(model, image, outputs_count=1)


@register.register_method(output_names=["label"])
def classify(image):
    image = register.add_stage(preprocess, image, outputs_count=1)
    score = register.add_stage(model, image, outputs_count=1)
    return register.add_stage(postprocess, score, outputs_count=1)
"""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Services that were started; the servable may not be loaded yet."""

    processes: Processes
    address: str


@contextmanager
def deployed(step: Step, payload: Payload) -> Iterator[Deployment]:
    """The services of a step, while inside."""
    with TemporaryDirectory(prefix="bench-") as folder:
        servable = Path(folder, "servables", SERVABLE)
        (servable / "1").mkdir(parents=True)
        config = FUNCTIONS + CONFIG.format(floats=payload.floats)
        (servable / "servable_config.py").write_text(config)
        (servable / "1" / "model.json").write_text(json.dumps(_model(payload.floats)))
        with services(
            Path(folder), devices=step.devices, stage_processes=step.workers
        ) as deployment:
            yield deployment


@contextmanager
def services(
    folder: Path,
    *,
    devices: int = 1,
    stage_processes: int = 0,
    agent_environment: Mapping[str, str] | None = None,
) -> Iterator[Deployment]:
    """Master, worker and agents for the servables in ``folder/servables``."""
    front, joins, listens = (f"127.0.0.1:{free_port()}" for _ in range(3))
    commands = [
        _service("master", {}, "--listen", front, "--membership-address", joins),
        _service(
            "worker", {}, "--listen", listens, "--masters", joins,
            "--servable-directory", str(folder / "servables"), "--max-batch-size", "8",
            "--min-agents", str(devices), "--stage-processes", str(stage_processes),
        ),
        *(
            _service(
                "agent", agent_environment or {},
                "--worker", listens, "--device-id", str(device),
            )
            for device in range(devices)
        ),
    ]  # fmt: skip
    with Processes(commands, folder) as processes:
        yield Deployment(processes, front)


def _service(name: str, environment: Mapping[str, str], *arguments: str) -> Command:
    return Command(
        [sys.executable, "-m", f"services.{name}", "--log-level", "warning", *arguments],
        {"PYTHONPATH": str(ROOT), **environment},
    )


def _model(floats: int) -> dict[str, object]:
    """One image at a time, as the document exported ResNet-50; the answer is what came first."""
    return {
        "function": "head",
        "inputs": [{"name": "x", "dtype": "float32", "dims": [1, floats]}],
        "outputs": [{"name": "y", "dtype": "float32", "dims": [1, min(1024, floats)]}],
        "latency_seconds": DEVICE_MS / 1e3,
    }
