"""A model of two ranks for MindSpore Lite: each agent holds the file that was cut for its rank."""

from mindspore_serving.server import distributed, register

model = distributed.declare_servable(
    rank_size=2, stage_size=1, with_batch_dim=False, model_format="MindIR_Lite"
)


@register.register_method(output_names=["y"])
def predict(x):
    """x: float32 128x96; y: float32 128x16."""
    return register.add_stage(model, x, outputs_count=1)
