"""wrk: requests over HTTP/1.1, one thread and a connection for each request in flight.

wrk ends when its time is over and leaves what is in flight unanswered, and a server's CPU time for
that would belong to no request. So its script (``wrk.lua``) has every connection rest once the
time is over and says when all of them do; only then is wrk interrupted, and tells its figures.
"""

import json
import math
import select
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from benchmarks.closed_loop.load import Answers, LoadFailed, Target
from benchmarks.figures import percentile

SCRIPT = Path(__file__).with_name("wrk.lua")
MOST_SECONDS = 300.0
"""What the answers in flight at the end may take."""
LATEST_SECONDS = 60
"""An answer that takes longer is an error."""


class Wrk:
    """It counts seconds; all answers of a run are checked for status and length."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def warm_up(self, seconds: float) -> None:
        self._send(seconds / 4, 2 * self._target.layout.in_flight)

    def run(self, seconds: float) -> Answers:
        return self._send(seconds, 5 * self._target.layout.in_flight)

    def _send(self, seconds: float, least: int) -> Answers:
        """Send for so long, at least so many requests, and wait for every answer."""
        until = time.monotonic() + seconds + MOST_SECONDS
        with subprocess.Popen(
            self._command(seconds, least), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                self._wait_for_rest(process, until)
                output, complaints = _interrupted(process, until)
            finally:
                process.kill()
        if process.returncode:
            raise LoadFailed(f"wrk ended with {process.returncode}: {complaints[-300:]}")
        return read(output, self._target.layout.in_flight)

    def _wait_for_rest(self, process: subprocess.Popen[str], until: float) -> None:
        """Until it has said something: that all connections rest, or that it has ended."""
        assert process.stdout is not None
        while not select.select([process.stdout], [], [], 0.5)[0]:
            self._target.check()  # wrk connects again and again to a server that is gone
            if time.monotonic() > until:
                raise LoadFailed("wrk: answers are missing, and their connections are open")

    def _command(self, seconds: float, least: int) -> list[str]:
        target, connections = self._target, str(self._target.layout.in_flight)
        body = target.folder / "body"
        body.write_bytes(target.call.body)
        return [
            # Before wrk is ready for an interrupt, it must not end by one.
            "env", "--ignore-signal=INT",
            "wrk", "-t", "1", "-c", connections, "-d", f"{math.ceil(seconds + MOST_SECONDS)}s",
            "--timeout", f"{LATEST_SECONDS}s", "-s", str(SCRIPT),
            "-H", f"content-type: {target.call.content_type}",
            f"http://127.0.0.1:{target.port}{target.call.path}",
            "--", str(body), str(target.answer_bytes), str(seconds), str(least), connections,
        ]  # fmt: skip


def _interrupted(process: subprocess.Popen[str], until: float) -> tuple[str, str]:
    """What it printed, to stdout and to stderr."""
    while True:
        process.send_signal(signal.SIGINT)
        try:
            return process.communicate(timeout=0.1)
        except subprocess.TimeoutExpired:  # it was not asleep yet, or counts
            if time.monotonic() > until:
                raise LoadFailed("wrk does not end") from None


def read(output: str, connections: int) -> Answers:
    """(pure) What the script printed last, as figures; latencies are those of all answers."""
    try:
        told = json.loads(output.rstrip().rpartition("\n")[2])
        answered, late = told["answered"], told["late"]
        counts: Mapping[int, int] = dict(told["took_us"])
        if answered >= connections:
            counts = observed(counts, told["runtime_us"] // (answered // connections))
    except (ValueError, KeyError, TypeError):
        raise LoadFailed(f"no figures in what wrk printed: {output[-300:]}") from None
    if sum(counts.values()) != answered - late or min(counts.values(), default=0) < 0:
        raise LoadFailed(f"wrk counts latencies otherwise than expected: {output[-300:]}")
    ordered = sorted(took / 1e3 for took in Counter(counts).elements()) or [0.0]
    return Answers(
        requests=told["sent"],
        errors=told["sent"] - answered + told["wrong"] + late,
        seconds=told["seconds"],
        p50_ms=percentile(ordered, 0.5),
        p99_ms=percentile(ordered, 0.99),
        own_seconds=told["own_seconds"],
    )


def observed(counts: Mapping[int, int], interval: int) -> dict[int, int]:
    """(pure) wrk's histogram of microseconds without the latencies that nobody saw.

    wrk holds that a connection ought to send every ``interval`` (the mean latency), and
    for each answer that took twice as long or longer it counts those who would have waited.
    In a closed loop nobody did: our open loops tell what arrivals at random wait for.
    """
    left = dict(counts)
    for took in sorted(counts, reverse=True):
        if took < 2 * interval:
            break
        if left[took]:
            for added in range(took - interval, interval, -interval):
                left[added] -= left[took]
    return left
