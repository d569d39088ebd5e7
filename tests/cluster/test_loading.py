"""Loading one version beside another, with real MindSpore."""

import asyncio
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mindspore_serving.client import AsyncClient
from tests.support.cluster import until

EXAMPLE = Path(__file__).parents[2] / "examples" / "tensor_add"
CALLERS = 4
ROUNDS = 5

pytestmark = pytest.mark.mindspore


class Load:
    """Callers that call without a pause; each answer's moment and seconds."""

    def __init__(self, client):
        self._client = client
        self._x = np.ones((2, 2), np.float32)
        self.answers = []

    async def run(self):
        while True:
            began = time.perf_counter()
            (answer,) = await self._client.infer({"x1": self._x, "x2": self._x})
            assert answer["y"].tolist() == [[2, 2], [2, 2]]
            self.answers.append((began, time.perf_counter() - began))

    def p99(self, begin, end):
        seconds = [took for at, took in self.answers if begin <= at < end]
        assert len(seconds) > 200
        return float(np.percentile(seconds, 99))


async def holding(cluster, version):
    counted = await asyncio.to_thread(cluster.metrics_of, "worker")
    name = f"mindserve_worker_agents_holding servable=tensor_add version={version}"
    return counted.get(name) == 1


@pytest.mark.parametrize("cluster", ["native"], indirect=True)
async def test_loading_a_second_version_does_not_delay_answers_of_the_first(cluster):
    """p99 during the load is at most twice p99 before: the median of five loads."""
    shutil.copytree(EXAMPLE / "tensor_add", cluster.servables / "tensor_add")
    await asyncio.to_thread(
        subprocess.run,
        [sys.executable, EXAMPLE / "export_model" / "add_model.py", cluster.servables],
        check=True,
    )
    cluster.start_master()
    cluster.start_agent("agent", cluster.start_worker("worker", "--watch-seconds", "0.2"))
    await cluster.ready("tensor_add")
    ratios = []
    async with AsyncClient(cluster.front, "tensor_add", "add_common") as client:
        load = Load(client)
        callers = [asyncio.create_task(load.run()) for _ in range(CALLERS)]
        for version in range(2, 2 + ROUNDS):
            before = time.perf_counter()
            enough = len(load.answers) + 1000
            await until(lambda enough=enough: len(load.answers) > enough, what="calls before")
            begin = time.perf_counter()
            shutil.copytree(
                cluster.servables / "tensor_add" / str(version - 1),
                cluster.servables / "tensor_add" / str(version),
            )
            # Seldom: reading the metrics costs the worker milliseconds.
            await until(lambda v=version: holding(cluster, v), every=0.5, what=f"version {version}")
            during = load.p99(begin, time.perf_counter())
            ratios.append(during / load.p99(before, begin))
        assert not any(caller.done() for caller in callers)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
    print("p99 during loads, as a multiple of p99 before:", [round(ratio, 2) for ratio in ratios])
    assert statistics.median(ratios) <= 2.0
