"""``python bare_loop.py ROWS SECONDS``: calls the model, again and again; figures as JSON."""

import json
import resource
import sys
import time

import numpy as np
import psutil
from bench_model import WORK, run


def cpu_seconds() -> float:
    """CPU time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    rows, seconds = int(sys.argv[1]), float(sys.argv[2])
    count = rows * WORK["inputs"]
    images = np.ones(count, np.float32).reshape(rows, *WORK["shape"])
    for _ in range(3):
        run(images)
    took: list[float] = []
    cpu, began = cpu_seconds(), time.monotonic()
    while time.monotonic() < began + seconds or len(took) < 3:
        before = time.monotonic()
        run(images)
        took.append(1e3 * (time.monotonic() - before))
    elapsed, cpu = time.monotonic() - began, cpu_seconds() - cpu
    memory = psutil.Process().memory_full_info()
    figures = {
        "requests": rows * len(took), "seconds": elapsed, "cpu_us": 1e6 * cpu / rows / len(took),
        "per_second": rows * len(took) / elapsed, "p50_ms": float(np.percentile(took, 50)),
        "p99_ms": float(np.percentile(took, 99)), "pss_mb": memory.pss / 1e6,
        "rss_mb": memory.rss / 1e6,
    }  # fmt: skip
    print(json.dumps(figures))
