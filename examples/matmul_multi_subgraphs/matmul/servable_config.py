"""Two files that are one model, called one after the other by a stage function."""

from mindspore_serving.server import register

model = register.declare_model(
    model_file=["matmul_0.mindir", "matmul_1.mindir"], model_format="MindIR", with_batch_dim=False
)


def process(x, y):
    """The sum of what the subgraphs say: each gives float32 of shape (16,)."""
    z1 = model.call(x, subgraph=0)
    z2 = model.call(y, subgraph=1)
    return z1 + z2


@register.register_method(output_names=["z"])
def predict(x, y):
    """x: float32 128x96, y: float32 8x96; z: float32 of shape (16,)."""
    return register.add_stage(process, x, y, outputs_count=1)
