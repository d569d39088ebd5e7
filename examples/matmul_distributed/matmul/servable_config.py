"""One model cut into eight ranks, each with its rows of the weight."""

from mindspore_serving.server import distributed, register

model = distributed.declare_servable(rank_size=8, stage_size=1, with_batch_dim=False)


@register.register_method(output_names=["y"])
def predict(x):
    """x: float32 128x96; y: float32 128x16."""
    return register.add_stage(model, x, outputs_count=1)
