"""h2load: a closed loop of POSTs that keeps a number of requests in flight."""

import re
import struct
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import percentile
from benchmarks.layout import Layout
from benchmarks.messages import Call


class LoadFailed(Exception):
    """h2load did not say what happened."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What came back, and when."""

    requests: int
    errors: int
    seconds: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Load:
    """Requests to one server."""

    port: int
    call: Call
    answer_bytes: int
    """Length of a right answer, gRPC's prefix included."""
    layout: Layout
    folder: Path

    def calibrate(self, seconds: float) -> int:
        """Warm the server up; tells how many requests take about ``seconds``."""
        rate = 0.0
        for requests in (2 * self.layout.in_flight, None):
            answers = self.run(requests or max(2 * self.layout.in_flight, int(rate * seconds / 4)))
            rate = answers.requests / answers.seconds
        return max(5 * self.layout.in_flight, int(rate * seconds))

    def run(self, requests: int) -> Answers:
        """Send that many requests and wait for every answer."""
        log = self.folder / "requests.tsv"
        log.unlink(missing_ok=True)
        began = time.monotonic()
        done = subprocess.run(
            self._command(requests, log), capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode or not log.exists():
            raise LoadFailed(f"h2load ended with {done.returncode}: {done.stderr[-300:]}")
        return read(
            done.stdout, log.read_text().splitlines(), requests, self.answer_bytes,
            elapsed=time.monotonic() - began,
        )  # fmt: skip

    def _command(self, requests: int, log: Path) -> list[str]:
        body = self.folder / "body"
        prefix = struct.pack(">BI", 0, len(self.call.body)) if self.call.is_grpc else b""
        body.write_bytes(prefix + self.call.body)
        return [
            "h2load", "-n", str(requests), "-c", str(self.layout.connections),
            "-m", str(self.layout.streams), "-d", str(body), f"--log-file={log}",
            "-H", f"content-type: {self.call.content_type}",
            *(("-H", "te: trailers") if self.call.is_grpc else ("--h1",)),
            f"http://127.0.0.1:{self.port}{self.call.path}",
        ]  # fmt: skip


def read(
    output: str, log: Sequence[str], requests: int, answer_bytes: int, *, elapsed: float
) -> Answers:
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
    )
