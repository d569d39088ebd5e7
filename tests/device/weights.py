"""Weights of the exported models, for the answers that NumPy expects."""

import numpy as np

SHAPES = {
    "mlp": [(32, 64), (10, 32)],
    "mlp_eights": [(32, 5), (3, 32)],
    "conv": [(4, 3, 3, 3)],
}


def weights(name):
    """The same arrays in every process."""
    numbers = np.random.default_rng(len(name))
    return [numbers.standard_normal(shape).astype(np.float32) for shape in SHAPES[name]]
