"""Triton: the server that the nvidia-pytriton wheel carries, its Python backend, on the CPU."""

import os
import platform
import shutil
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from benchmarks.messages import Call, open_inference
from benchmarks.mindir.models import MINDSPORE
from benchmarks.peers.environment import Environment
from benchmarks.peers.told import SERVERS, described_for_servers
from benchmarks.processes import Command
from benchmarks.works import Work

CONFIG = """name: "{name}"
backend: "python"
max_batch_size: {max_batch}
input [{{ name: "x", data_type: TYPE_FP32, dims: [{rows}{inputs}] }}]
output [{{ name: "y", data_type: TYPE_FP32, dims: [{rows}{outputs}] }}]
instance_group [{{ kind: KIND_CPU, count: 1 }}]
parameters {{ key: "stage" value {{ string_value: "{stage}" }} }}
{batching}
"""
ENSEMBLE = """name: "bench"
platform: "ensemble"
input [{{ name: "x", data_type: TYPE_FP32, dims: [-1, {inputs}] }}]
output [{{ name: "y", data_type: TYPE_FP32, dims: [-1, {outputs}] }}]
ensemble_scheduling {{ step [ {steps} ] }}
"""
STEP = """{{
  model_name: "{name}" model_version: -1
  input_map {{ key: "x" value: "{given}" }} output_map {{ key: "y" value: "{result}" }}
}}"""


class Triton:
    """One instance of a Python model behind Triton's gRPC."""

    name = "triton"
    protocol = "gRPC"
    requirements = ("nvidia-pytriton==0.7.0", "numpy<2")
    remark = (
        "Python backend, one instance; dynamic batching without a delay (works c, e);"
        " work d: ensemble of three Python models"
    )

    def refuses(self, work: Work) -> str:
        return ""

    def prepare(self, environment: Environment) -> None:
        """A copy of the server with the stub for this Python."""
        carried = environment.packages / "pytriton" / "tritonserver"
        copy = environment.folder / "tritonserver"
        shutil.copytree(carried, copy, dirs_exist_ok=True)
        python = ".".join(platform.python_version_tuple()[:2])
        stub = copy / "python_backend_stubs" / python / "triton_python_backend_stub"
        shutil.copy(stub, copy / "backends" / "python")

    def commands(
        self, work: Work, folder: Path, port: int, environment: Environment
    ) -> Sequence[Command]:
        _write_models(work, folder / "models")
        server = environment.folder / "tritonserver"
        python = MINDSPORE.folder if work.model else environment.folder
        libraries = f"{environment.packages / 'nvidia_pytriton.libs'}:{_python_library()}"
        return [
            Command(
                [str(server / "bin" / "tritonserver"), f"--model-repository={folder / 'models'}",
                 f"--backend-directory={server / 'backends'}",
                 f"--cache-directory={server / 'caches'}", f"--grpc-port={port}",
                 "--grpc-address=127.0.0.1", "--allow-http=false", "--allow-metrics=false",
                 "--allow-gpu-metrics=false"],
                {**described_for_servers(work), "LD_LIBRARY_PATH": libraries,
                 # The stub ignores PYTHONPATH; it finds its packages beside the first python3.
                 "PATH": f"{python / 'bin'}:{os.environ['PATH']}"},
            )
        ]  # fmt: skip

    def call(self, work: Work) -> Call:
        return open_inference(work, "bench")

    def version(self, environment: Environment) -> str:
        return f"2.51.0 (nvidia-pytriton {environment.version_of('nvidia-pytriton')})"


def _write_models(work: Work, folder: Path) -> None:
    if not work.staged:
        _write_model(work, folder / "bench", "model")
        return
    for stage in ("before", "model", "after"):
        _write_model(work, folder / stage, stage)
    (folder / "bench" / "1").mkdir(parents=True)
    steps = ",".join(
        STEP.format(name=name, given=given, result=result)
        for name, given, result in (("before", "x", "a"), ("model", "a", "b"), ("after", "b", "y"))
    )
    config = ENSEMBLE.format(inputs=work.inputs, outputs=work.outputs, steps=steps)
    (folder / "bench" / "config.pbtxt").write_text(config)


def _write_model(work: Work, folder: Path, stage: str) -> None:
    (folder / "1").mkdir(parents=True)
    shutil.copy(SERVERS / "triton_model.py", folder / "1" / "model.py")
    shutil.copy(SERVERS / "bench_model.py", folder / "1")
    (folder / "config.pbtxt").write_text(
        CONFIG.format(
            name=folder.name, stage=stage, max_batch=work.max_batch,
            inputs=", ".join(map(str, work.shape)), outputs=work.outputs,
            rows="" if work.max_batch else "-1, ",
            batching="dynamic_batching { }" if work.max_batch else "",
        )
    )  # fmt: skip


def _python_library() -> str:
    """The folder of libpython, which the stub loads."""
    return str(sysconfig.get_config_var("LIBDIR"))
