"""``Model.call`` in a servable's own functions, served by real processes."""

import asyncio

from tests.support.cluster import add_servable, outputs

CONFIG = '''import numpy as np
from mindspore_serving.server import register

model = register.declare_model(model_file="model.json", model_format="Reference")


def until_large(x):
    """Doubles until the sum is large: a loop whose length depends on what the model says."""
    rounds = 0
    while x.sum() < 100:
        x = model.call(x)
        rounds += 1
    return x, np.float32(rounds)


def both(x):
    (first,), (second,) = model.call([[x], [x + 1]])
    return first + second


def wrong(x):
    return model.call(x, subgraph=3)


def undeclared(x):
    return register.Model("nobody.json").call(x)


@register.register_method(output_names=["y", "rounds"])
def predict(x1):
    return register.add_stage(until_large, x1, outputs_count=2)


@register.register_method(output_names=["y"])
def pair(x1):
    return register.add_stage(both, x1, outputs_count=1)


@register.register_method(output_names=["y"])
def fails(x1):
    return register.add_stage(wrong, x1, outputs_count=1)


@register.register_method(output_names=["y"])
def stranger(x1):
    return register.add_stage(undeclared, x1, outputs_count=1)
'''


async def test_functions_call_models_in_loops_and_in_batches(cluster):
    add_servable(cluster.servables)
    (cluster.servables / "toy" / "servable_config.py").write_text(CONFIG)
    await cluster.start_all()
    replies = await asyncio.gather(*(cluster.predict([n, n]) for n in range(1, 20)))
    for n, reply in enumerate(replies, 1):
        rounds = next(r for r in range(10) if 2 * n * 2**r >= 100)
        assert outputs(reply) == [[n * 2.0**rounds] * 2]
    assert outputs(await cluster.predict([1, 2], method="pair")) == [[6, 10]]
    failed = await cluster.predict([1, 2], method="fails")
    assert "does not have subgraph of index 3" in failed.error_msg[0].error_msg.decode()
    assert "Call Function 'toy.wrong' Failed" in failed.error_msg[0].error_msg.decode()
    failed = await cluster.predict([1, 2], method="stranger")
    words = "Model(nobody.json).call() failed: the model is not declared, model 'nobody.json'"
    assert words in failed.error_msg[0].error_msg.decode()
