"""Encoded images in, digits out: decode and resize, LeNet, the largest score."""

from io import BytesIO

import numpy as np
from PIL import Image

from mindspore_serving.server import register

lenet_model = register.declare_model(model_file="lenet.mindir", model_format="MindIR")


def preprocess(image):
    """From the bytes of an image file, as uint8, to float32 [1, 32, 32] between 0 and 1."""
    image = Image.open(BytesIO(image.tobytes()))
    image = image.convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    return np.asarray(image, np.float32)[None] / 255


def postprocess_top1(score):
    """The digit with the largest score, as int64."""
    return np.argmax(score)


@register.register_method(output_names=["label"])
def classify_top1(image):
    """image: an image file of any format and size; label: the digit on it."""
    x = register.add_stage(preprocess, image, outputs_count=1)
    score = register.add_stage(lenet_model, x, outputs_count=1)
    return register.add_stage(postprocess_top1, score, outputs_count=1)
