"""The processes of one server: started, watched, and every one of them ended."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import psutil

STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Command:
    """How one process is started."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class ServerDied(Exception):
    """A server ended by itself."""


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none is lost."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


class Processes:
    """What a server consists of, while the ``with`` block lasts."""

    def __init__(self, commands: Sequence[Command], folder: Path) -> None:
        self._commands = commands
        self._folder = folder
        self._started: list[subprocess.Popen[bytes]] = []
        self._ours_before: set[int] = set()

    def __enter__(self) -> "Processes":
        self._ours_before = {each.pid for each in psutil.Process().children(recursive=True)}
        try:
            for number, command in enumerate(self._commands):
                with (self._folder / f"{number}.log").open("ab") as output:
                    self._started.append(
                        subprocess.Popen(
                            list(command.arguments), cwd=self._folder, stdin=subprocess.DEVNULL,
                            stdout=output, stderr=output, env=self._environment(command),
                            start_new_session=True,  # Ctrl+C is for us; we end them
                        )
                    )  # fmt: skip
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def check(self) -> None:
        """Raise what a process said that ended by itself."""
        if any(each.poll() is not None for each in self._started):
            raise ServerDied(self.last_words())

    def last_words(self) -> str:
        """The end of what the processes printed."""
        logs = sorted(self._folder.glob("*.log"))
        return "\n".join(log.read_text(errors="replace")[-1500:] for log in logs)

    def cpu_seconds(self, only: int | None = None) -> float:
        """CPU time so far, that of children that ended included.

        ``only``: of the process that the command of this number became, not of all.
        """
        total = 0.0
        for each in self._counted(only):
            try:
                times = each.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system + times.children_user + times.children_system
        return total

    def memory(self, only: int | None = None) -> tuple[int, int]:
        """Bytes of all processes: with shared pages counted once (PSS), and each time (RSS)."""
        pss = rss = 0
        for each in self._counted(only):
            try:
                found = each.memory_full_info()
            except psutil.NoSuchProcess:
                continue
            pss, rss = pss + found.pss, rss + found.rss
        return pss, rss

    def written_memory(self, only: int | None = None) -> int:
        """Bytes that the processes have written: no files, which others on the machine share."""
        return sum(map(_written, self._counted(only)))

    def _environment(self, command: Command) -> dict[str, str]:
        """Ours, with what they put into temporary folders where we shall remove it."""
        return {**os.environ, "TMPDIR": str(self._folder), **command.environment}

    def _counted(self, only: int | None) -> list[psutil.Process]:
        return self._living() if only is None else [psutil.Process(self._started[only].pid)]

    def _living(self) -> list[psutil.Process]:
        below = psutil.Process().children(recursive=True)
        return [each for each in below if each.pid not in self._ours_before]

    def _stop(self) -> None:
        """Ask the processes we started, then end whatever is left."""
        for process in self._started:
            if process.poll() is None:
                process.terminate()
        until = time.monotonic() + STOP_SECONDS
        for process in self._started:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        left = self._living()
        for each in left:
            try:
                each.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(left, timeout=STOP_SECONDS)


def _written(process: psutil.Process) -> int:
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem"))]
    return 1024 * sum(kilobytes)
