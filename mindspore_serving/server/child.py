"""A service as a child process of the script: started, watched, started again, ended."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from shared.decryption import DecryptionKey

LOG_FOLDER = Path("serving_logs")
# The services' own limit for a drain is 30. One that never worked has nothing to drain.
_STOP_SECONDS, _STOP_WHILE_STARTING_SECONDS = 40.0, 5.0
_KILLED_SECONDS = 5.0
_TOO_MANY_FILES = (
    "Maybe the parameter 'num_parallel_workers' is too large, and the number of open files exceeds"
    " the system upper limit. Please check the workers logs in the serving_logs directory for more"
    " details"
)
# Each start in a row waits twice as long, until a child has lived for a while.
_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 1.0, 30.0
_STABLE_SECONDS = 10.0
_LEVEL_VARIABLE = "GLOG_v"
_LOG_LEVELS = {"0": "debug", "1": "info", "2": "warning", "3": "error", "4": "error"}

ServableKey = tuple[str, DecryptionKey]
"""The name of a servable, and the key of its model files."""


class Child:
    """One service; what it says goes to ``serving_logs/log_NAME.log``.

    Closing its standard input makes it drain and end, which the end of the script does too.
    """

    def __init__(
        self,
        name: str,
        service: str,
        failure: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        key: ServableKey | None = None,
        *,
        now: float,
        address: str,
        part: str = "",
    ) -> None:
        LOG_FOLDER.mkdir(exist_ok=True)
        self.name = name
        self.service = service
        self.failure = failure
        """What it means when it ends while it starts."""
        self.address = address
        """Where its health is asked."""
        self.part = part
        """The servable version that it serves with others; empty for a master."""
        self.is_kept = False
        """Whether it is started again when it crashes: it has worked before."""
        self._arguments = arguments
        self._environment = environment
        self._key = key
        self._log = LOG_FOLDER.absolute() / f"log_{name}.log"
        self._log.write_bytes(b"")
        self._retry_seconds = _FIRST_RETRY_SECONDS
        self._retry_at: float | None = None
        self._start(now)

    def _start(self, now: float) -> None:
        self._started_at = now
        with self._log.open("ab") as log, _key_passed(self._key) as (key_arguments, descriptors):
            # A session of its own: Ctrl+C is for the script, which then ends its children.
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", f"services.{self.service}", "--stop-with-stdin"),
                    *self._arguments,
                    *key_arguments,
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=descriptors,
                env={**_log_level(self.service), **os.environ, **self._environment},
            )

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._process.poll() is not None

    @property
    def crashed(self) -> bool:
        """Whether it ended otherwise than by being told to."""
        return self._process.poll() not in (None, 0)

    @property
    def left(self) -> bool:
        """Whether it ended because somebody told it to: it drained, and stays away."""
        return self._process.poll() == 0

    def start_again(self, now: float) -> bool:
        """Start a crashed child again once it has waited; whether it was started.

        Who has lived for a while waits a second, others twice as long each time.
        Raises OSError when no process can be started now; the next call waits again.
        """
        if self._retry_at is None:
            if now - self._started_at > _STABLE_SECONDS:
                self._retry_seconds = _FIRST_RETRY_SECONDS
            self._retry_at = now + self._retry_seconds
            self._retry_seconds = min(2 * self._retry_seconds, _LONGEST_RETRY_SECONDS)
        if now < self._retry_at:
            return False
        self._retry_at = None
        self.close()
        self._start(now)
        return True

    def cause(self) -> str:
        """The signal that ended it, or its exit code."""
        code = self._process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def why_not_started(self) -> str:
        """What its end means, the reason it gave, and where there is more."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = next((line for line in reversed(lines) if line.strip()), "no reason given")
        reason = said.removeprefix(f"{self.service}: ")
        code, death = self._process.wait(), f"death of one {self.service}"
        if code < 0:
            reason = self.cause() if death in self.failure else f"{death} ({self.cause()})"
        elif code == 0:
            reason = f"one {self.service} was told to end while it started"
        elif os.strerror(errno.EMFILE) in reason:
            reason = f"{reason}. {_TOO_MANY_FILES}"
        return f"{self.failure}: {reason} (more in {LOG_FOLDER / self._log.name})"

    def close(self) -> None:
        """Have it drain and end."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    @property
    def stop_seconds(self) -> float:
        """How long it may take to drain and end."""
        return _STOP_SECONDS if self.is_kept else _STOP_WHILE_STARTING_SECONDS

    def kill(self) -> None:
        """End it at once: it does not answer."""
        self._process.kill()

    def wait(self, until: float) -> bool:
        """Wait for its end, and end it at ``until`` (monotonic); whether it ended by itself."""
        try:
            self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()
            # Not for ever: in a signal's handler it may be what the handler has interrupted.
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_KILLED_SECONDS)
            return False
        return True


def why_not_born(failure: OSError) -> str:
    """Why there is no process, for one who started servables."""
    text = failure.strerror or str(failure)
    return f"{text}. {_TOO_MANY_FILES}" if failure.errno in (errno.EMFILE, errno.ENFILE) else text


@contextmanager
def _key_passed(key: ServableKey | None) -> Iterator[tuple[Sequence[str], Sequence[int]]]:
    """Arguments and descriptors with which a child that is born inside finds the key in a pipe."""
    if key is None:
        yield (), ()
        return
    servable, secret = key
    reads, writes = os.pipe()
    try:
        os.write(writes, secret.reveal())
        os.close(writes)
        yield ("--dec-keys", f"{servable}=/dev/fd/{reads}:{secret.mode}"), (reads,)
    finally:
        os.close(reads)


def _log_level(service: str) -> dict[str, str]:
    """The services' own logs follow GLOG_v; without it they have their default."""
    level = _LOG_LEVELS.get(os.environ.get(_LEVEL_VARIABLE, ""))
    return {f"MINDSERVE_{service.upper()}_LOG_LEVEL": level} if level else {}
