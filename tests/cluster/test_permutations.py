"""Real MindSpore models give the same bits, whoever shares a batch with whom."""

import asyncio
import random
import textwrap

import numpy as np
import pytest

from mindspore_serving.client import AsyncClient

PERMUTATIONS = 100
SIZES = (1, 2, 3, 5, 8, 13)
CONFIG = """
    from mindspore_serving.server import register

    wave_model = register.declare_model("wave.mindir", "MindIR")
    mlp_model = register.declare_model("mlp_eights.mindir", "MindIR")


    @register.register_method(output_names=["y"])
    def wave(x):
        return register.add_stage(wave_model, x, outputs_count=1)


    @register.register_method(output_names=["y"])
    def mlp(x):
        return register.add_stage(mlp_model, x, outputs_count=1)
"""


def stacked(answer):
    return np.stack([each["y"] for each in answer])


def same_bits(answers, alone):
    return answers.tobytes() == alone.tobytes()


def nearly_the_same(answers, alone):
    """The last bits of a matrix product depend on a row's place among the others, because
    MindSpore's kernels add up in another order there: as much in one process without us."""
    return np.allclose(answers, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.mindspore
@pytest.mark.parametrize(("method", "equal"), [("wave", same_bits), ("mlp", nearly_the_same)])
async def test_permutations_of_request_sizes_give_equal_results(cluster, mindir, method, equal):
    """An elementwise model with a dynamic batch dim, matrix products with a static one."""
    folder = cluster.servables / "toy"
    (folder / "1").mkdir(parents=True)
    (folder / "servable_config.py").write_text(textwrap.dedent(CONFIG))
    for name in ("wave.mindir", "mlp_eights.mindir"):
        (folder / "1" / name).write_bytes((mindir / name).read_bytes())
    await cluster.start_all(agents=2)
    dice = random.Random(5)
    numbers = np.random.default_rng(5)
    requests = [
        [{"x": row} for row in numbers.standard_normal((size, 5)).astype(np.float32)]
        for size in SIZES
    ]
    async with AsyncClient(cluster.front, "toy", method, raise_on_error=True) as client:
        alone = [stacked(await client.infer(request)) for request in requests]
        for _ in range(PERMUTATIONS):
            order = dice.sample(range(len(SIZES)), len(SIZES))
            answers = await asyncio.gather(*(client.infer(requests[n]) for n in order))
            for n, answer in zip(order, answers, strict=True):
                assert equal(stacked(answer), alone[n])
    counted = await asyncio.to_thread(cluster.metrics_of, "worker")
    batches = counted["mindserve_worker_batch_rows_count"]
    assert batches < PERMUTATIONS * len(SIZES), "no batch was shared"
