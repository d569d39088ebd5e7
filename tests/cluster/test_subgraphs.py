"""Several files that are one model: each subgraph has a queue and batches of its own."""

import asyncio

from tests.support.cluster import Cluster, outputs
from tests.support.reference import reference_model

CONFIG = """
from mindspore_serving.server import register

model = register.declare_servable(["double.json", "same.json"], "Reference")


def call_both(x):
    if x[0] < 0:
        return model.call(x, subgraph=2)
    return model.call(model.call(x), subgraph=1)


@register.register_method(output_names=["y"])
def double(x1):
    y = register.call_servable(x1)
    return y


@register.register_method(output_names=["y"])
def same(x1):
    y = register.call_servable(x1, subgraph=1)
    return y


@register.register_method(output_names=["y"])
def both(x1):
    return register.add_stage(call_both, x1, outputs_count=1)
"""


def write_servable(directory):
    folder = directory / "toy" / "1"
    folder.mkdir(parents=True)
    (folder.parent / "servable_config.py").write_text(CONFIG)
    for name, function in (("double", "double"), ("same", "identity")):
        described = reference_model(function, latency_seconds=0.05)
        (folder / f"{name}.json").write_text(described)


async def test_callers_of_two_subgraphs_share_an_agent_but_no_batch(tmp_path):
    async with Cluster(tmp_path) as cluster:
        write_servable(cluster.servables)
        await cluster.start_all()
        rows = [[float(n), float(n)] for n in range(8)]
        calls = [cluster.predict(row, method=name) for row in rows for name in ("double", "same")]
        replies = await asyncio.gather(*calls)
        answered = [outputs(reply)[0] for reply in replies]
        assert answered[0::2] == [[2 * n, 2 * n] for n in range(8)]
        assert answered[1::2] == rows
        counted = await asyncio.to_thread(cluster.metrics_of, "worker")
        assert counted["mindserve_worker_batch_rows_sum"] == 16
        assert 2 <= counted["mindserve_worker_batch_rows_count"] < 16


async def test_stage_functions_call_both_subgraphs(tmp_path):
    async with Cluster(tmp_path) as cluster:
        write_servable(cluster.servables)
        await cluster.start_all()
        # More callers than stage threads: those that wait for a model hold up nobody for good.
        replies = await asyncio.gather(
            *(cluster.predict([float(n), 1.0], method="both") for n in range(12))
        )
        assert [outputs(reply)[0] for reply in replies] == [[2 * n, 2] for n in range(12)]
        reply = await cluster.predict([-1.0, 1.0], method="both")
        assert (
            "error msg: RuntimeError: Model(double.json;same.json).call() failed: The model does"
            " not have subgraph of index 2, the subgraph count of the model is 2"
        ) in reply.error_msg[0].error_msg.decode()
