"""Runs a load in a process of its own, so that nothing else holds it up."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.generation.load.order import Order
from benchmarks.generation.load.summary import Quantiles, Summary
from benchmarks.peers.environment import ROOT


class GeneratorFailed(Exception):
    """The process that sends the requests ended by itself."""


def run_in_child(order: Order, folder: Path) -> Summary:
    """Send what ``order`` says and wait for every answer; ``folder`` takes the order."""
    written = folder / "order.json"
    written.write_text(json.dumps(asdict(order)))
    most_seconds = (order.requests + order.warm_requests + 1) * order.timeout_seconds
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.generation.load", str(written)],
        cwd=ROOT, capture_output=True, text=True, timeout=most_seconds, check=False,
        # Linux shares cores among sessions, and servers have their own.
        start_new_session=True,
    )  # fmt: skip
    if done.returncode:
        raise GeneratorFailed(done.stderr[-1000:])
    return summary_of(json.loads(done.stdout))


def summary_of(described: Mapping[str, Any]) -> Summary:
    """A summary as it was written."""
    read: dict[str, Any] = {
        key: Quantiles(**value) if isinstance(value, dict) and key.endswith("_ms") else value
        for key, value in described.items()
    }
    return Summary(**read)
