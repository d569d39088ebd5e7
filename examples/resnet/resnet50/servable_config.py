"""Photographs in, labels out, in three stages: preprocess, ResNet-50, postprocess.

Five methods that answer alike show the ways to write this.
"""

from io import BytesIO

import numpy as np
from PIL import Image

from mindspore_serving.server import register

LABELS = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
MEAN = np.array([0.4914, 0.4822, 0.4465], np.float32) * 255
STD = np.array([0.2023, 0.1994, 0.2010], np.float32) * 255

resnet_model = register.declare_model(
    model_file="resnet50_1b_cifar10.mindir", model_format="MindIR"
)


def preprocess(image):
    """Decode, resize, normalise: an image file's bytes, as uint8, to float32 [3, 224, 224]."""
    image = Image.open(BytesIO(image.tobytes())).convert("RGB")
    pixels = np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR), np.float32)
    return ((pixels - MEAN) / STD).transpose(2, 0, 1)


def preprocess_batch(instances):
    """The same for as many images as are at hand."""
    for (image,) in instances:
        yield preprocess(image)


def postprocess_top1(score):
    """The label with the largest score."""
    return LABELS[np.argmax(score)]


def postprocess_top5(score):
    """The five labels with the largest scores, joined by ";", and those scores, float32 [5]."""
    best = np.argsort(score)[::-1][:5]
    return ";".join(LABELS[each] for each in best), score[best]


def call_one(image):
    """The three stages in one function that calls the model itself."""
    return postprocess_top1(resnet_model.call(preprocess(image)))


def call_several(instances):
    """The same for up to 32 images, which the model is asked about in one call."""
    scores = resnet_model.call([[preprocess(image)] for (image,) in instances])
    return [postprocess_top1(score) for (score,) in scores]


@register.register_method(output_names=["label"])
def classify_top1(image):
    """image: an image file of any format and size; label: what is on it."""
    x = register.add_stage(preprocess, image, outputs_count=1)
    score = register.add_stage(resnet_model, x, outputs_count=1)
    return register.add_stage(postprocess_top1, score, outputs_count=1)


@register.register_method(output_names=["label"])
def classify_top1_batch(image):
    """With a batch function."""
    x = register.add_stage(preprocess_batch, image, outputs_count=1, batch_size=1024)
    score = register.add_stage(resnet_model, x, outputs_count=1)
    return register.add_stage(postprocess_top1, score, outputs_count=1)


@register.register_method(output_names=["label"])
def classify_top1_v2(image):
    """With one function that calls the model."""
    return register.add_stage(call_one, image, outputs_count=1)


@register.register_method(output_names=["label"])
def classify_top1_v3(image):
    """With one batch function that calls the model for several instances at once."""
    return register.add_stage(call_several, image, outputs_count=1, batch_size=32)


@register.register_method(output_names=["label", "score"])
def classify_top5(image):
    """image: an image file of any format and size; label: five names; score: float32 [5]."""
    x = register.add_stage(preprocess, image, outputs_count=1)
    score = register.add_stage(resnet_model, x, outputs_count=1)
    return register.add_stage(postprocess_top5, score, outputs_count=2)
