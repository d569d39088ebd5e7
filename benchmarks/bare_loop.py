"""No server at all: the model called in a loop in one process, which is the limit."""

import json
import subprocess
from collections.abc import Iterator

from benchmarks.figures import LOOP, Sample
from benchmarks.mindir.models import MINDSPORE
from benchmarks.peers.told import SERVERS, described_for_servers
from benchmarks.works import Work


def bare_samples(work: Work, *, number: int, seconds: float) -> Iterator[Sample]:
    """Rows one by one, and in the largest batches that servers may make."""
    for rows in (1, work.max_batch):
        done = subprocess.run(
            [MINDSPORE.python, str(SERVERS / "bare_loop.py"), str(rows), str(seconds)],
            capture_output=True, text=True, check=True, timeout=seconds + 300,
            env=described_for_servers(work),
        )  # fmt: skip
        yield Sample(
            work=work.key, server=LOOP, round=number, connections=1, in_flight=rows,
            errors=0, others_cores=0.0, **json.loads(done.stdout),
        )  # fmt: skip
