"""The whole stack in one go: export two models, start every service, call them as users do.

``make demo`` runs it. With a terminal it goes on serving until Enter is pressed.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from shared.ports import free_port
from shared.wire.check import serves

EXAMPLES = Path(__file__).parent
SHOWN = {"tensor_add": "tensor_add", "add_sub_pipeline": "add_sub"}
"""Examples, and the servable of each."""
READY_SECONDS = 180.0
STOP_SECONDS = 15.0
DOT_SECONDS = 2.0


def parser_of(demo: str, description: str | None) -> argparse.ArgumentParser:
    """What every demo can be told."""
    parser = argparse.ArgumentParser(prog=f"python -m examples.{demo}", description=description)
    parser.add_argument(
        "--keep",
        action=argparse.BooleanOptionalAction,
        default=sys.stdin.isatty(),
        help="go on serving until Enter is pressed (default: when there is a terminal)",
    )
    return parser


def main() -> None:
    keep = parser_of("demo", __doc__).parse_args().keep
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with (
        tempfile.TemporaryDirectory(prefix="mindserve-demo-") as folder,
        Stack(Path(folder)) as stack,
    ):
        stack.export()
        stack.start()
        stack.wait_until_ready()
        print()
        stack.call()
        print(f"\nMindserve answers gRPC clients at {stack.address}, for example:\n")
        print(
            f'  {os.path.relpath(sys.executable)} -c "import numpy as np;'
            " from mindspore_serving.client import Client;"
            f" x = np.ones((2, 2), np.float32); print(Client('{stack.address}', 'tensor_add',"
            " 'add_common').infer({'x1': x, 'x2': x}))\"\n"
        )
        ones = "[[1.0, 1.0], [1.0, 1.0]]"
        print(
            f"and JSON over HTTP:\n\n  curl http://{stack.rest_address}/model/tensor_add:add_common"
            f""" -d '{{"instances": {{"x1": {ones}, "x2": {ones}}}}}'\n"""
        )
        if keep:
            input("Press Enter to stop. ")


class Stack:
    """Master, worker and two agents as child processes; none outlives the ``with``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"127.0.0.1:{free_port(5500)}"
        self.rest_address = f"127.0.0.1:{free_port(1500)}"
        self.membership = f"127.0.0.1:{free_port(6100)}"
        self.worker = f"127.0.0.1:{free_port(6200)}"
        self.services: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Stack":
        return self

    def __exit__(self, *_: object) -> None:
        with step("stopping: requests in progress are finished"):
            for process in self.services.values():
                process.terminate()
            for process in self.services.values():
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def export(self) -> None:
        for example, servable in SHOWN.items():
            with step(f"exporting the models of {example} with MindSpore"):
                shutil.copytree(EXAMPLES / example / servable, self.folder / servable)
                (exporter,) = (EXAMPLES / example / "export_model").glob("*.py")
                self.run([str(exporter), str(self.folder)])

    def start(self) -> None:
        with step("starting master, worker and two agents"):
            self.serve_master()
            self.serve_worker(self.folder)
            for device in ("0", "1"):
                self.serve("agent", "--worker", self.worker, "--device-id", device)

    def serve_master(self) -> None:
        self.serve(
            "master",
            *("--listen", self.address),
            *("--rest-address", self.rest_address),
            *("--membership-address", self.membership),
        )

    def serve_worker(self, servables: Path, *more: str) -> None:
        self.serve(
            "worker",
            *("--listen", self.worker),
            *("--masters", self.membership),
            *("--servable-directory", str(servables)),
            *more,
        )

    def serve(self, service: str, *arguments: str) -> None:
        name = f"{service}-{len(self.services)}"
        with (self.folder / f"{name}.log").open("wb") as log:
            self.services[name] = subprocess.Popen(
                [sys.executable, "-m", f"services.{service}", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self) -> None:
        with step("waiting until the agents have loaded the models"):
            self.wait_for(*SHOWN.values())

    def wait_for(self, *servables: str) -> None:
        """Print a dot now and then until all of them can be called."""
        deadline = time.monotonic() + READY_SECONDS
        dot = time.monotonic() + DOT_SECONDS
        while not all(asyncio.run(serves(self.address, name)) for name in servables):
            ended = [name for name, each in self.services.items() if each.poll() is not None]
            if ended or time.monotonic() > deadline:
                self.give_up(f"ended early: {ended}" if ended else "not ready in time")
            if time.monotonic() > dot:
                print(".", end="", flush=True)
                dot += DOT_SECONDS
            time.sleep(0.1)

    def call(self) -> None:
        grpc, rest = ("--grpc", self.address), ("--rest", self.rest_address)
        self.run([str(EXAMPLES / "tensor_add" / "serving_client.py"), *grpc, *rest])
        self.run([str(EXAMPLES / "add_sub_pipeline" / "serving_client.py"), *grpc])

    def give_up(self, reason: str) -> None:
        for name in self.services:
            print(f"--- {name}\n{(self.folder / f'{name}.log').read_text()[-2000:]}")
        sys.exit(f"The demo failed: {reason}")

    def run(self, command: Sequence[str]) -> None:
        if subprocess.run([sys.executable, *command], check=False).returncode:
            self.give_up(f"{Path(command[0]).name} failed")


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Say what a step does, and when it is done how long it took."""
    print(f"{text} ... ", end="", flush=True)
    began = time.monotonic()
    yield
    print(f"{time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
