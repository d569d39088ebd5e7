"""The graphs as a servable, and a client that runs pipelines of both ways."""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.measure import Meter
from benchmarks.mindir.models import SETTINGS
from benchmarks.processes import Processes
from benchmarks.seed_graphs.sizes import Sizes
from benchmarks.seed_graphs.times import WAYS, RunTime
from benchmarks.seed_steps.client import WrongAnswer, ready
from benchmarks.seed_steps.deployment import services
from mindspore_serving.client import Client

SERVABLE = "graphs"


class Served:
    """Services that answer, and a client for each way."""

    def __init__(self, processes: Processes, clients: Mapping[str, Client], sizes: Sizes) -> None:
        self._processes = processes
        self._clients = clients
        self._sizes = sizes

    def run(self, way: str, rows: int, steps: int, *, number: int) -> RunTime:
        """Have one request for so many pipelines answered; raises WrongAnswer."""
        words, value = self._sizes.instance()
        instances = [{"words": words, "value": value, "steps": steps}] * rows
        meter = Meter(self._processes)
        began = time.perf_counter()
        result = self._clients[way].infer(instances)
        took = time.perf_counter() - began
        used = meter.read()
        right = self._sizes.answer(steps)
        for each in result:
            if not np.allclose(np.asarray(each["value"]), right, atol=1e-3):
                raise WrongAnswer(f"{way}, {rows} x {steps}: {str(each)[:300]}")
        return RunTime(way, rows, steps, number, 1e3 * took, used.others_cores)


@contextmanager
def served(models: Path, sizes: Sizes) -> Iterator[Served]:
    """The graphs in a folder, served while inside."""
    with TemporaryDirectory(prefix="bench-") as folder:
        servable = Path(folder, "servables", SERVABLE)
        servable.mkdir(parents=True)
        shutil.copy(Path(__file__).with_name("servable.py"), servable / "servable_config.py")
        (servable / "1").symlink_to(models, target_is_directory=True)
        words, value = sizes.instance()
        ask = {"words": words, "value": value, "steps": 1}
        with services(Path(folder), agent_environment=SETTINGS) as found:
            with (
                ready(found.address, WAYS[0], found.processes,
                      lambda client: client.infer(ask), servable=SERVABLE) as apart,
                ready(found.address, WAYS[1], found.processes,
                      lambda client: client.infer(ask), servable=SERVABLE) as merged,
            ):  # fmt: skip
                clients = dict(zip(WAYS, (apart, merged), strict=True))
                yield Served(found.processes, clients, sizes)
            found.processes.check()
