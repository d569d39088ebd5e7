"""Runs an open loop in a process of its own, so that nothing else holds it up."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.open_loop.order import Order
from benchmarks.open_loop.schedule import Summary
from benchmarks.peers.environment import ROOT


class OpenLoopFailed(Exception):
    """The open loop's generator ended by itself."""


def run_open_loop(order: Order, body: bytes, folder: Path) -> Summary:
    """Send what ``order`` says and wait for every answer; ``folder`` takes the order."""
    written, carried = folder / "order.json", folder / "order.body"
    written.write_text(json.dumps(asdict(order)))
    carried.write_bytes(body)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.open_loop", str(written), str(carried)],
        cwd=ROOT, capture_output=True, text=True, timeout=order.seconds + 120, check=False,
    )  # fmt: skip
    if done.returncode:
        raise OpenLoopFailed(done.stderr[-1000:])
    return Summary(**json.loads(done.stdout))
