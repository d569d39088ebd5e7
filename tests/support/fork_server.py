"""Services as forks of one process that has imported them, so that tests need not wait for imports.

A fork is a process of its own like any other; ``python -m tests.support.fork_server SOCKET`` is
the one they come from. Services that scripts start, in containers, in network namespaces, or
without arguments, are not forked: they come from ``python -m services...`` as users have them.
"""

import atexit
import gc
import json
import os
import runpy
import selectors
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

# What their __main__ modules import.
PRELOADED = [
    *(f"services.{name}.{part}" for name in ("master", "worker", "agent")
      for part in ("app", "settings")),
    "shared.program",
]  # fmt: skip
_REQUEST_BYTES = 1 << 20
_NUMBER = struct.Struct("i")


class ForkedService:
    """A service that runs; the methods of ``subprocess.Popen`` that tests need."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        line.settimeout(60)
        (self.pid,) = _NUMBER.unpack(line.recv(_NUMBER.size))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._status(0)

    def wait(self, timeout: float | None = None) -> int:
        status = self._status(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(f"fork {self.pid}", timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        # The server may have buried it before it told of that.
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _status(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._line.settimeout(timeout)
            try:
                told = self._line.recv(_NUMBER.size)
            except (TimeoutError, BlockingIOError):
                return None
            assert told, "the fork server has ended"
            (self.returncode,) = _NUMBER.unpack(told)
            self._line.close()
        return self.returncode


def fork_service(
    service: str, *arguments: str, folder: Path, log: Path, environment: Mapping[str, str]
) -> ForkedService:
    """``python -m services.SERVICE ARGUMENTS``, in ``folder``, saying what it says to ``log``."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        request = [service, arguments, str(folder), str(log), dict(environment)]
        socket.send_fds(_server(), [json.dumps(request).encode()], [theirs.fileno()])
    return ForkedService(ours)


@cache
def _server() -> socket.socket:
    """The way to the server of this process, which ends with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _REQUEST_BYTES)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fork_server", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            cwd=Path(__file__).parents[2],
            # A process that has threads should not fork; NumPy would start one per core.
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        )

    @atexit.register
    def end() -> None:
        ours.close()
        process.wait(10)

    return ours


class Forking:
    """The server: forks when it is asked to, and tells of forks that ended."""

    def __init__(self, control: socket.socket) -> None:
        self._selector = selectors.DefaultSelector()
        self._control = control
        self._lines: dict[int, socket.socket] = {}
        self._selector.register(control, selectors.EVENT_READ)

    def next_request(self) -> list[object] | None:
        """What to do, in each fork; None in the server itself when nobody asks any more."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is not self._control:
                    self._tell(key.fd, key.data)
                    continue
                message, lines, _, _ = socket.recv_fds(self._control, _REQUEST_BYTES, 1)
                if not message:
                    return None
                line = socket.socket(fileno=lines[0])
                pid = os.fork()
                if not pid:
                    self._forget(line)
                    request: list[object] = json.loads(message)
                    return request
                line.send(_NUMBER.pack(pid))
                self._lines[pid] = line
                self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)

    def _tell(self, descriptor: int, pid: int) -> None:
        _, status = os.waitpid(pid, 0)
        self._selector.unregister(descriptor)
        os.close(descriptor)
        with self._lines.pop(pid) as line:
            with suppress(BrokenPipeError):
                line.send(_NUMBER.pack(os.waitstatus_to_exitcode(status)))

    def _forget(self, line: socket.socket) -> None:
        """A fork has nothing to do with any of its siblings."""
        descriptors = [key.fd for key in self._selector.get_map().values()]
        self._selector.close()
        for each in (*self._lines.values(), line):
            each.close()
        for descriptor in descriptors:
            os.close(descriptor)
        self._control.detach()


def main() -> None:
    # Ctrl+C is for who asks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for module in PRELOADED:
        __import__(module)
    gc.collect()
    gc.freeze()
    request = Forking(socket.socket(fileno=int(sys.argv[1]))).next_request()
    if request is None:
        return
    gc.unfreeze()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    service, arguments, folder, log, environment = request
    output = os.open(str(log), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for number in (1, 2):
        os.dup2(output, number)
    os.close(output)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(str(folder))
    sys.argv[1:] = arguments
    runpy.run_module(f"services.{service}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
