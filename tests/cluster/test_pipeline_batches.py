"""Pipelines that run at the same time: their steps share batches, whoever they work for."""

import asyncio

import pytest

from tests.support.cluster import Cluster, outputs
from tests.support.reference import reference_model

CALLERS, STEPS = 8, 5
CONFIG = """
from mindspore_serving.server import register
from mindspore_serving.server.register import PipelineServable

register.declare_servable(["first.json", "step.json"], "Reference")


@register.register_method(output_names=["y"])
def begin(x1):
    y = register.call_servable(x1, subgraph=0)
    return y


@register.register_method(output_names=["y"])
def step(x1):
    y = register.call_servable(x1, subgraph=1)
    return y


begun, stepped = PipelineServable("toy", "begin"), PipelineServable("toy", "step")


def steps(x1):
    y = begun.run(x1)
    for _ in range(5):
        y = stepped.run(y)
    return y


@register.register_pipeline(output_names=["y"])
def predict(x1):
    return steps(x1)


@register.register_pipeline(output_names=["y"])
def other(x1):
    return steps(x1)
"""


def write_servable(directory, latency):
    folder = directory / "toy" / "1"
    folder.mkdir(parents=True)
    (folder.parent / "servable_config.py").write_text(CONFIG)
    for name in ("first", "step"):
        described = reference_model("double", latency_seconds=latency)
        (folder / f"{name}.json").write_text(described)


@pytest.mark.parametrize("names", [["predict"], ["predict", "other"]])
async def test_steps_of_pipelines_that_run_at_once_share_batches(tmp_path, names):
    """Each has a caller of its own; alone they would need a batch for every step of every one."""
    async with Cluster(tmp_path) as cluster:
        write_servable(cluster.servables, 0.05)
        await cluster.start_all()
        calls = [
            cluster.predict([float(n), 1.0], method=names[n % len(names)]) for n in range(CALLERS)
        ]
        replies = await asyncio.gather(*calls)
        grown = 2 ** (1 + STEPS)
        assert [outputs(each)[0] for each in replies] == [[n * grown, grown] for n in range(8)]
        counted = await asyncio.to_thread(cluster.metrics_of, "worker")
    rows = counted["mindserve_worker_batch_rows_sum"]
    assert rows == CALLERS * (1 + STEPS)
    assert counted["mindserve_worker_batch_rows_count"] <= rows / 2
