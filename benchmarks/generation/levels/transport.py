"""``python -m benchmarks.generation.levels.transport``: an empty step, to the device and back.

A worker's own code in this process, an agent and its device process with the fake model. Prints
the microseconds of a step, as the mean of many.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop
from prometheus_client import CollectorRegistry

from benchmarks.generation.levels.fake import FAKE, add_fake
from benchmarks.generation.models import EXAMPLE
from protos.serving.v1 import generation_pb2 as pb
from services.worker.agents.agents import Agents
from services.worker.agents.step_line import StepLine
from services.worker.generation.steps import Step
from services.worker.generation.steps_codec import write_head
from services.worker.metrics import Metrics
from shared import logs
from shared.membership import Assigned, Assignment, ModelFiles
from shared.servable import LanguageGraphs, ServableVersion
from shared.tasks import task_scope
from shared.wire.membership import Registrar
from shared.wire.native import NativeWire

WHAT = ServableVersion(FAKE.name, 1)
STEPS = 300


def files_of(folder: Path) -> ModelFiles:
    """The fake model."""
    prefill, decode = FAKE.prefill, FAKE.decode
    paths = tuple(str(folder / FAKE.name / "1" / each.file) for each in (*prefill, *decode))
    graphs = LanguageGraphs(
        len(prefill), len(decode), block_size=16, blocks=256,
        tokenizer=str(EXAMPLE / "tokenizer.json"),
    )  # fmt: skip
    return ModelFiles(FAKE.name, "reference", paths, True, (), 0, language=graphs)


@asynccontextmanager
async def step_line(folder: Path) -> AsyncIterator[StepLine]:
    """A line to a joined agent that holds the model."""
    assignment = Assignment((Assigned(WHAT, (files_of(folder),)),))
    changed = asyncio.Event()
    wire = NativeWire()
    async with task_scope() as scope:
        agents = Agents(
            wire, scope, Metrics(CollectorRegistry()),
            assignment=lambda: assignment, notify=lambda member, notice: None,
            idle=lambda what: None, changed=changed.set,
        )  # fmt: skip
        async with wire.serve(Registrar(agents, 10.0).routes, ["127.0.0.1:0"]) as server:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "services.agent", "--stop-with-stdin"),
                *("--worker", server.addresses[0], "--log-level", "error"),
                stdin=asyncio.subprocess.PIPE,
            )
            try:
                while not (lines := agents.step_lines(WHAT)):
                    changed.clear()
                    await changed.wait()
                yield next(iter(lines.values()))
            finally:
                assert process.stdin is not None
                process.stdin.close()
                async with asyncio.timeout(30):
                    await process.wait()


async def run() -> float:
    """Microseconds of a step."""
    with TemporaryDirectory(prefix="bench-") as name:
        add_fake(Path(name))
        head = write_head(WHAT, FAKE.name, Step(1))
        async with step_line(Path(name)) as line:
            began = 0.0
            for number in range(-20, STEPS):
                if number == 0:
                    began = time.perf_counter()
                step = pb.Step(id=number + 21, forget=number == -20)
                await line.run(head, step.SerializeToString())
            return 1e6 * (time.perf_counter() - began) / STEPS


if __name__ == "__main__":
    logs.configure("benchmark", level="error", format="console")
    print(uvloop.run(run()))
