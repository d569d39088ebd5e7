"""What the document does with an image in Python, in its time; a servable and a client use it."""

import time

import numpy as np

PREPROCESS_SECONDS, POSTPROCESS_SECONDS = 0.012, 0.00032


def preprocessed(image, floats):
    """Decoding and resizing, which wait here: two cores can stand for the document's many."""
    time.sleep(PREPROCESS_SECONDS)
    return np.full(floats, len(image), np.float32)


def postprocess(score):
    """The label of a score: work for a core, as in the document."""
    until = time.perf_counter() + POSTPROCESS_SECONDS
    while time.perf_counter() < until:
        pass
    return int(score[0])
