"""Loading one version beside another, with real MindSpore."""

import asyncio
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from mindspore_serving.client import AsyncClient
from tests.support.cluster import until

EXAMPLE = Path(__file__).parents[2] / "examples" / "tensor_add"
ONES = {"x1": np.ones((2, 2), np.float32), "x2": np.ones((2, 2), np.float32)}
LOADING_NICENESS = max(10, os.getpriority(os.PRIO_PROCESS, 0))

pytestmark = pytest.mark.mindspore


class Callers:
    """Call without a pause; end with the first answer that is none."""

    def __init__(self, client, count):
        self._client = client
        self.answers = 0
        self.tasks = [asyncio.create_task(self._call()) for _ in range(count)]

    async def _call(self):
        while True:
            (answer,) = await self._client.infer(ONES, timeout=20)
            assert answer["y"].tolist() == [[2, 2], [2, 2]]
            self.answers += 1

    async def more(self, count):
        enough = self.answers + count

        def have_come():
            return self.answers >= enough or any(each.done() for each in self.tasks)

        await until(have_come, what="more answers")
        assert self.answers >= enough

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        """Raises what a caller ended with."""
        for each in self.tasks:
            each.cancel()
        for each in await asyncio.gather(*self.tasks, return_exceptions=True):
            if not isinstance(each, asyncio.CancelledError):
                raise each


def device_processes(cluster):
    below = psutil.Process(cluster.processes["agent"].pid).children(recursive=True)
    return {each for each in below if "services.agent.device" in each.cmdline()}


def niceness(process):
    """Of each of its threads."""
    found = set()
    for path in Path(f"/proc/{process.pid}/task").glob("*/stat"):
        with suppress(OSError):  # a thread that has just ended
            found.add(int(path.read_text().rpartition(")")[2].split()[16]))
    return found


async def is_held(cluster, version):
    counted = await asyncio.to_thread(cluster.metrics_of, "worker")
    name = f"mindserve_worker_agents_holding servable=tensor_add version={version}"
    return counted.get(name) == 1


async def test_answers_never_wait_for_a_version_that_is_being_loaded(cluster):
    """It loads in a process of its own, behind whatever else wants a core."""
    shutil.copytree(EXAMPLE / "tensor_add", cluster.servables / "tensor_add")
    await asyncio.to_thread(
        subprocess.run,
        [sys.executable, EXAMPLE / "export_model" / "add_model.py", cluster.servables],
        check=True,
    )
    cluster.start_master()
    cluster.start_agent("agent", cluster.start_worker("worker", "--watch-seconds", "0.2"))
    await cluster.ready("tensor_add")
    first = device_processes(cluster)
    async with (
        AsyncClient(cluster.front, "tensor_add", "add_common") as client,
        Callers(client, 4) as callers,
    ):
        await callers.more(100)
        versions = cluster.servables / "tensor_add"
        shutil.copytree(versions / "1", versions / "2")
        await until(lambda: device_processes(cluster) - first, what="a process for version 2")
        (loading,) = device_processes(cluster) - first
        await until(lambda: LOADING_NICENESS in niceness(loading), what="it to load behind others")
        # Now its load takes as long as the test likes, but for two seconds: one that seems to stand
        # still is given up then, and another process loads.
        with suppress(psutil.NoSuchProcess):
            for _ in range(10):
                loading.suspend()
                await callers.more(50)
                loading.resume()
        assert not await is_held(cluster, 2)
        await until(lambda: is_held(cluster, 2), what="version 2")
        await callers.more(100)
