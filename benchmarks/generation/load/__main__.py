"""``python -m benchmarks.generation.load ORDER.json``: one load; what it came to as JSON."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.generation.load.measured import run_load
from benchmarks.generation.load.order import Asked, Order

if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    given["asked"] = tuple(Asked(*each) for each in given["asked"])
    print(json.dumps(asdict(run_load(Order(**given)).summary)))
