"""``python bare_turns.py ROWS``: reads numbers of batches; the seconds that each took."""

import sys
import time

import numpy as np
from bench_model import WORK, run

if __name__ == "__main__":
    rows = int(sys.argv[1])
    count = rows * WORK["inputs"]
    images = np.ones(count, np.float32).reshape(rows, *WORK["shape"])
    for _ in range(3):
        run(images)
    print("ready", flush=True)
    for line in sys.stdin:
        began = time.monotonic()
        for _ in range(int(line)):
            run(images)
        print(time.monotonic() - began, flush=True)
