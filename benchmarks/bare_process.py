"""A process that calls a model without a server around it, and says how long that took."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from benchmarks.peers.environment import ROOT
from benchmarks.processes import ServerDied


class BareProcess:
    """Answers each line that it is told with seconds."""

    def __init__(self, stdin: IO[str], stdout: IO[str]) -> None:
        """Returns when it says that it is ready; raises ServerDied."""
        self._stdin, self._stdout = stdin, stdout
        self._line()

    def seconds(self, *words: object) -> float:
        """What a line of these words took; raises ServerDied."""
        self._stdin.write(" ".join(map(str, words)) + "\n")
        self._stdin.flush()
        return float(self._line())

    def _line(self) -> str:
        line = self._stdout.readline()
        if not line:
            raise ServerDied("the process that calls the model has ended")
        return line


@contextmanager
def bare_process(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[BareProcess]:
    """The process of ``command``, ready, while inside; raises ServerDied."""
    with subprocess.Popen(
        command, text=True, env=environment, cwd=ROOT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        # As servers have it: Linux shares cores among sessions.
        start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield BareProcess(process.stdin, process.stdout)
        finally:
            process.kill()
