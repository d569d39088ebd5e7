"""h2load: a number of requests over HTTP/2, or over HTTP/1.1 to be compared with wrk."""

import re
import resource
import struct
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.closed_loop.load import Answers, LoadFailed, Target
from benchmarks.figures import percentile


class H2load:
    """It counts requests, not seconds, so how many a run takes follows from what went before."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._rate = 0.0

    def warm_up(self, seconds: float) -> None:
        least = 2 * self._target.layout.in_flight
        self._send(least)
        self._send(max(least, int(self._rate * seconds / 4)))

    def run(self, seconds: float) -> Answers:
        return self._send(max(5 * self._target.layout.in_flight, int(self._rate * seconds)))

    def _send(self, requests: int) -> Answers:
        """Send that many requests and wait for every answer."""
        log = self._target.folder / "requests.tsv"
        log.unlink(missing_ok=True)
        began, used = time.monotonic(), _children_seconds()
        done = subprocess.run(
            self._command(requests, log), capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode or not log.exists():
            raise LoadFailed(f"h2load ended with {done.returncode}: {done.stderr[-300:]}")
        answers = read(
            done.stdout, log.read_text().splitlines(), requests, self._target.answer_bytes,
            elapsed=time.monotonic() - began, own_seconds=_children_seconds() - used,
        )  # fmt: skip
        self._rate = answers.requests / answers.seconds
        return answers

    def _command(self, requests: int, log: Path) -> list[str]:
        target, call, layout = self._target, self._target.call, self._target.layout
        body = target.folder / "body"
        prefix = struct.pack(">BI", 0, len(call.body)) if call.is_grpc else b""
        body.write_bytes(prefix + call.body)
        return [
            "h2load", "-n", str(requests), "-c", str(layout.connections),
            "-m", str(layout.streams), "-d", str(body), f"--log-file={log}",
            "-H", f"content-type: {call.content_type}",
            *(("-H", "te: trailers") if call.is_grpc else ("--h1",)),
            f"http://127.0.0.1:{target.port}{call.path}",
        ]  # fmt: skip


def _children_seconds() -> float:
    """CPU time of child processes that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def read(
    output: str, log: Sequence[str], requests: int, answer_bytes: int,
    *, elapsed: float, own_seconds: float,
) -> Answers:  # fmt: skip
    """(pure) What h2load printed and logged, as figures.

    An error that gRPC reports in trailers has HTTP status 200 but no message, so the
    bytes received tell how many answers were right at most.
    """
    data = re.search(r"\((\d+)\) data", output)
    if data is None:
        raise LoadFailed(f"no traffic in what h2load printed: {output[-300:]}")
    lines = [line.split("\t") for line in log]
    good = [line for line in lines if line[1] == "200"]
    missing = max(0, requests * answer_bytes - int(data[1]))
    took = sorted(int(line[2]) / 1e3 for line in good) or [0.0]
    # From the first request sent to the last answer: h2load's own start does not count.
    begins = [int(line[0]) for line in lines]
    ends = [int(line[0]) + int(line[2]) for line in lines]
    return Answers(
        requests=requests,
        errors=max(requests - len(good), -(-missing // answer_bytes)),
        seconds=(max(ends) - min(begins)) / 1e6 if lines else elapsed,
        p50_ms=percentile(took, 0.5),
        p99_ms=percentile(took, 0.99),
        own_seconds=own_seconds,
    )
