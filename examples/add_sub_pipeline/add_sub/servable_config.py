"""Two models in one method, with and without Python stages between them."""

import numpy as np

from mindspore_serving.server import register

add_model = register.declare_model(
    model_file="tensor_add.mindir", model_format="MindIR", with_batch_dim=False
)
sub_model = register.declare_model(
    model_file="tensor_sub.mindir", model_format="MindIR", with_batch_dim=False
)


@register.register_method(output_names=["y"])
def add_sub_only_model(x1, x2, x3):
    """y = x1 + x2 - x3, float32 2x2."""
    y = register.add_stage(add_model, x1, x2, outputs_count=1)
    return register.add_stage(sub_model, y, x3, outputs_count=1)


def preprocess(x1, x2, x3):
    """Cast to float32, one instance at a time."""
    return x1.astype(np.float32), x2.astype(np.float32), x3.astype(np.float32)


def add_one(instances):
    """Add 1 to each instance of a batch."""
    return [(y + 1,) for (y,) in instances]


def postprocess(y):
    """Add 1 to the answer, one instance at a time."""
    return y + 1


@register.register_method(output_names=["y"])
def add_sub_complex(x1, x2, x3):
    """y = (x1 + x2 + 1) - x3 + 1 for inputs of any number type, 2x2."""
    x1, x2, x3 = register.add_stage(preprocess, x1, x2, x3, outputs_count=3)
    y = register.add_stage(add_model, x1, x2, outputs_count=1)
    y = register.add_stage(add_one, y, outputs_count=1, batch_size=0)
    y = register.add_stage(sub_model, y, x3, outputs_count=1)
    return register.add_stage(postprocess, y, outputs_count=1)
