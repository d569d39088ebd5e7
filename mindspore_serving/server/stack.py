"""The services that a user's script starts: child processes that never outlive it."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc

from mindspore_serving.server.start_config import ServableStartConfig
from shared.decryption import DecryptionKey
from shared.ports import free_port
from shared.wire.health import CHECK_PATH, check_request, is_serving
from shared.wire.tls import ServerTls

LOG_FOLDER = Path("serving_logs")
_DEVICE_TYPES = {"none": "CPU", "cpu": "CPU", "gpu": "GPU", "ascend": "Ascend"}
_READY_SECONDS = 600.0
_STOP_SECONDS = 40.0
_POLL_SECONDS = 0.1
_REST_STATUS = "MINDSERVE_MASTER_REST_STATUS"


class Stack:
    """Master, workers and agents. Closing a child's standard input makes it drain and end."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._children: list[_Child] = []
        # A master for each door: they may be opened in any order, and neither delays the other.
        self._membership, self._rest_membership = _free_address(), _free_address()
        self._stopped = threading.Event()
        self._fronts: list[tuple[_Child, str]] = []
        self._servables: list[str] = []

    def start_master(self, address: str, max_message_mb: int) -> None:
        """Open the front door at ``address``; returns when it listens."""
        master = self._start(
            "master",
            "master",
            *("--listen", address),
            *("--membership-address", self._membership),
            *("--max-message-mb", str(max_message_mb)),
        )
        self._wait(master, address, "", f"create server failed, address {address}")
        self._fronts.append((master, address))
        self._wait_until_known()

    def start_rest_master(self, address: str, max_message_mb: int, tls: ServerTls | None) -> None:
        """Open the RESTful entrance at ``address``; returns when it listens."""
        arguments = [] if _REST_STATUS in os.environ else ["--rest-status", "compat"]
        if tls is not None:
            arguments += ["--rest-tls-certificate", str(tls.certificate)]
            arguments += ["--rest-tls-key", str(tls.key)]
            if tls.client_ca is not None:
                arguments += ["--rest-tls-client-ca", str(tls.client_ca)]
        asked = _free_address()
        master = self._start(
            "restful_master",
            "master",
            *("--listen", asked),
            *("--membership-address", self._rest_membership),
            *("--rest-address", address),
            *("--rest-max-message-mb", str(max_message_mb)),
            *arguments,
        )
        self._wait(master, asked, "", f"bind to the socket address {address} failed")
        self._fronts.append((master, asked))
        self._wait_until_known()

    def start_servable(self, config: ServableStartConfig, *, enable_lite: bool = False) -> None:
        """Start a worker and its agents; returns when the servable can be called."""
        address = _free_address()
        name = config.servable_name
        version = f":{config.version_number}" if config.version_number else ""
        worker = self._start(
            f"{name}_worker",
            "worker",
            *("--listen", address),
            *("--masters", f"{self._membership},{self._rest_membership}"),
            *("--servable-directory", config.servable_directory),
            *("--servables", name + version),
            *("--stage-processes", str(config.stage_processes)),
        )
        self._wait(worker, address, "", f"Fail to start workers: servable {name}")
        devices = config.device_ids or tuple(range(config.num_parallel_workers))
        agents = [
            self._start(
                f"{name}_device{device}",
                "agent",
                *("--worker", address),
                *("--device-id", str(device)),
                *("--device-type", _DEVICE_TYPES[config.device_type]),
                "--first-load-must-succeed",
                *(["--enable-lite"] if enable_lite else []),
                key=config.decryption_key,
                servable=name,
            )
            for device in devices
        ]
        self._wait(agents[0], address, name, f"Fail to start workers: servable {name}", agents[1:])
        self._servables.append(name)
        self._wait_until_known()

    def _wait_until_known(self) -> None:
        """Let a client that calls next find what was started."""
        for master, address in self._fronts:
            for name in self._servables:
                self._wait(master, address, name, f"servable {name} is not served")

    def watch(self) -> None:
        """Keep this process alive until ``stop`` or until every child is gone."""
        while not self._stopped.wait(_POLL_SECONDS):
            if all(child.process.poll() is not None for child in self._children):
                break

    def stop(self) -> None:
        """End every child, those that take requests first; each finishes what it has."""
        with self._lock:
            self._stopped.set()
            # The master first, then workers, then agents: nothing accepted is lost.
            for service in ("master", "worker", "agent"):
                ending = [child for child in self._children if child.service == service]
                for child in ending:
                    child.close()
                for child in ending:
                    child.wait(_STOP_SECONDS)
            self._children.clear()

    def _start(
        self,
        name: str,
        service: str,
        *arguments: str,
        servable: str = "",
        key: DecryptionKey | None = None,
    ) -> "_Child":
        with self._lock, _key_passed(servable, key) as (key_arguments, descriptors):
            child = _Child(name, service, (*arguments, *key_arguments), descriptors)
            self._children.append(child)
            return child

    def _wait(
        self,
        child: "_Child",
        address: str,
        service: str,
        failure: str,
        others: "Sequence[_Child]" = (),
    ) -> None:
        """Until ``service`` can be called at ``address``; RuntimeError when a child ends before."""
        deadline = time.monotonic() + _READY_SECONDS
        with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            check: Callable[..., bytes] = channel.unary_unary(CHECK_PATH)
            while True:
                for each in (child, *others):
                    if each.process.poll() is not None:
                        raise RuntimeError(f"{failure}: {each.last_line()}")
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{failure}: not ready in {_READY_SECONDS:.0f} s")
                try:
                    if is_serving(check(check_request(service), timeout=5)):
                        return
                except grpc.RpcError:
                    pass
                time.sleep(_POLL_SECONDS)


class _Child:
    """One service; what it says goes to a file of ``serving_logs``."""

    def __init__(
        self, name: str, service: str, arguments: Sequence[str], descriptors: Sequence[int]
    ) -> None:
        LOG_FOLDER.mkdir(exist_ok=True)
        self.service = service
        self._log = LOG_FOLDER.absolute() / f"log_{name}.log"
        with self._log.open("wb") as log:
            # A session of its own: Ctrl+C is for the script, which then ends its children.
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"services.{service}", "--stop-with-stdin", *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=descriptors,
            )

    def last_line(self) -> str:
        """The reason a service gave before it ended."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "no reason given")

    def close(self) -> None:
        """Have it drain and end."""
        if self.process.stdin is not None:
            self.process.stdin.close()

    def wait(self, seconds: float) -> None:
        """Wait for its end, and end it when that takes too long."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def _key_passed(
    servable: str, key: DecryptionKey | None
) -> Iterator[tuple[Sequence[str], Sequence[int]]]:
    """Arguments and descriptors with which a child that is born inside finds the key in a pipe."""
    if key is None:
        yield (), ()
        return
    reads, writes = os.pipe()
    try:
        os.write(writes, key.reveal())
        os.close(writes)
        yield ("--dec-keys", f"{servable}=/dev/fd/{reads}:{key.mode}"), (reads,)
    finally:
        os.close(reads)


def _free_address() -> str:
    return f"127.0.0.1:{free_port()}"
