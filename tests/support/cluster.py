"""Real services as real processes on loopback, for cluster tests."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO

import grpc
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from protos.ms_service import ms_service_pb2 as pb
from shared.ports import free_port
from shared.wire.check import serves
from tests.support.fork_server import ForkedService, fork_service
from tests.support.reference import reference_model

READY_SECONDS = 60.0


async def until(
    condition: Callable[[], object],
    *,
    seconds: float = READY_SECONDS,
    every: float = 0.02,
    what: str | Callable[[], str],
) -> None:
    """Poll ``condition`` (plain or async) until it holds; fail at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        held = condition()
        if asyncio.iscoroutine(held):
            held = await held
        if held:
            return
        if time.monotonic() > deadline:
            raise AssertionError(
                f"waited {seconds} s in vain for {what() if callable(what) else what}"
            )
        await asyncio.sleep(every)


def children_of(pid: int) -> list[int]:
    """The processes that a process started."""
    folder = Path(f"/proc/{pid}/task")
    return [
        int(each) for task in folder.iterdir() for each in (task / "children").read_text().split()
    ]


def add_servable(
    directory: Path,
    name: str = "toy",
    *,
    version: int = 1,
    function: str = "double",
    inputs: int = 1,
    dims: tuple[int, ...] = (-1, 2),
    latency_seconds: float = 0.0,
    faults: dict[str, str] | None = None,
) -> None:
    """Write a servable of the reference backend with one method, ``predict``."""
    names = [f"x{n + 1}" for n in range(inputs)]
    folder = directory / name / str(version)
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / "servable_config.py").write_text(
        "from mindspore_serving.server import register\n\n"
        'model = register.declare_model(model_file="model.json", model_format="Reference")\n\n\n'
        '@register.register_method(output_names=["y"])\n'
        f"def predict({', '.join(names)}):\n"
        f"    return register.add_stage(model, {', '.join(names)}, outputs_count=1)\n"
    )
    described = reference_model(
        function, names, dims=dims, latency_seconds=latency_seconds, faults=faults or {}
    )
    (folder / "model.json").write_text(described)


class Cluster:
    """Starts services and ends every one of them."""

    def __init__(self, folder: Path, wire: str = "native", front: str = "") -> None:
        self.folder = folder
        self.wire = wire
        self.servables = folder / "servables"
        self.servables.mkdir()
        self.front = front or f"127.0.0.1:{free_port()}"
        self.membership = f"127.0.0.1:{free_port()}"
        self.processes: dict[str, subprocess.Popen[bytes] | ForkedService] = {}
        self.inside: dict[str, Sequence[str]] = {}
        """By the name of a service: words before its command, which put it on another machine."""
        self._metrics: dict[str, str] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Cluster":
        self.channel = await self._stack.enter_async_context(
            grpc.aio.insecure_channel(
                self.front,
                options=[
                    ("grpc.max_reconnect_backoff_ms", 200),
                    ("grpc.initial_reconnect_backoff_ms", 50),
                    ("grpc.min_reconnect_backoff_ms", 50),
                ],
            )
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        # Processes are waited for, which would hold the loop.
        await asyncio.to_thread(self.stop)

    def stop(self) -> None:
        """End every process; fails when one does not end by itself."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        stuck = []
        for name, process in self.processes.items():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                stuck.append(name)
                process.kill()
                process.wait()
        assert not stuck, f"did not end within 10 s of SIGTERM: {stuck}\n{self.logs()}"

    def start(
        self, name: str, service: str, *arguments: str, stdin: IO[bytes] | int = subprocess.DEVNULL
    ) -> None:
        self._metrics[name] = f"127.0.0.1:{free_port()}"
        self._spawn(
            name,
            service,
            *arguments,
            *("--metrics-address", self._metrics[name]),
            *("--wire", self.wire),
            stdin=stdin,
        )

    def start_bare(self, service: str) -> None:
        """Start a service without any argument, in the folder that holds ``servables``."""
        self._spawn(service, service)

    def _spawn(
        self, name: str, service: str, *arguments: str, stdin: IO[bytes] | int = subprocess.DEVNULL
    ) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MINDSERVE_")}
        log = self.folder / f"{name}.log"
        log.touch()
        if arguments and stdin == subprocess.DEVNULL and name not in self.inside:
            self.processes[name] = fork_service(
                service, *arguments, folder=self.folder, log=log, environment=environment
            )
            return
        with log.open("ab") as output:
            self.processes[name] = subprocess.Popen(
                [
                    *self.inside.get(name, ()),
                    sys.executable,
                    "-m",
                    f"services.{service}",
                    *arguments,
                ],
                cwd=self.folder,
                stdin=stdin,
                stdout=output,
                stderr=output,
                env=environment,
            )

    def metrics_of(self, name: str) -> dict[str, float]:
        """What a service counts, by name with labels."""
        text = urllib.request.urlopen(f"http://{self._metrics[name]}/metrics", timeout=5).read()
        families = text_string_to_metric_families(text.decode())
        return {
            " ".join([each.name, *(f"{k}={v}" for k, v in sorted(each.labels.items()))]): each.value
            for family in families
            for each in family.samples
        }

    def agents_holding(self, servable: str, worker: str = "worker") -> float:
        """How many agents hold its version 1, as a worker says; 0 while that is about to begin."""
        name = f"mindserve_worker_agents_holding servable={servable} version=1"
        try:
            return self.metrics_of(worker).get(name, 0)
        except OSError:
            return 0

    def start_master(self, *arguments: str) -> None:
        self.start(
            "master",
            "master",
            *("--listen", self.front),
            *("--membership-address", self.membership),
            *arguments,
        )

    def start_worker(self, name: str = "worker", *arguments: str, address: str = "") -> str:
        address = address or f"127.0.0.1:{free_port()}"
        self.start(
            name,
            "worker",
            *("--listen", address),
            *("--masters", self.membership),
            *("--servable-directory", str(self.servables)),
            *arguments,
        )
        return address

    def start_agent(
        self,
        name: str,
        worker: str,
        *arguments: str,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
    ) -> None:
        self.start(name, "agent", "--worker", worker, *arguments, stdin=stdin)

    def end(self, name: str) -> None:
        """Have one service drain, and wait for its end."""
        self.processes[name].terminate()
        self.processes[name].wait(10)

    async def start_all(self, agents: int = 1, worker: tuple[str, ...] = ()) -> None:
        self.start_master()
        address = self.start_worker("worker", *worker)
        for number in range(agents):
            self.start_agent(f"agent{number}", address, "--device-id", str(number))
        await self.ready("toy")

    async def serving(self, name: str, address: str = "") -> bool:
        """Whether the master (or the service at ``address``) says that it serves ``name``."""
        return await serves(address or self.front, name)

    async def ready(self, name: str, address: str = "", seconds: float = READY_SECONDS) -> None:
        await until(
            lambda: self.serving(name, address),
            seconds=seconds,
            what=lambda: f"{name}\n{self.logs()}",
        )

    def logs(self) -> str:
        return "\n".join(
            f"--- {path.stem}\n{path.read_text()[-3000:]}" for path in self.folder.glob("*.log")
        )

    async def predict(
        self,
        *rows: list[float],
        servable: str = "toy",
        method: str = "predict",
        version: int = 0,
        timeout: float | None = 20.0,
    ) -> pb.PredictReply:
        request = pb.PredictRequest(
            servable_spec=pb.ServableSpec(name=servable, method_name=method, version_number=version)
        )
        for row in rows:
            array = np.asarray(row, np.float32)
            tensor = request.instances.add().items["x1"]
            tensor.dtype = pb.MS_FLOAT32
            tensor.shape.dims.extend(array.shape)
            tensor.data = array.tobytes()
        call = self.channel.unary_unary(
            "/mindspore.serving.proto.MSService/Predict",
            request_serializer=pb.PredictRequest.SerializeToString,
            response_deserializer=pb.PredictReply.FromString,
        )
        return await call(request, timeout=timeout)


def outputs(reply: pb.PredictReply) -> list[list[float]]:
    """The y of each instance; fails when the reply carries an error."""
    assert not reply.error_msg, reply.error_msg
    return [
        np.frombuffer(instance.items["y"].data, np.float32).tolist() for instance in reply.instances
    ]
