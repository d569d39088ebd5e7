"""Adds tensors through the front door: ``serving_client.py [ADDRESS]``."""

import sys

import numpy as np

from mindspore_serving.client import Client

ADDRESS = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:5500"


def check(result, expected):
    """Stop with a text unless every y is filled with the number expected."""
    good = isinstance(result, list) and len(result) == len(expected)
    for instance, number in zip(result if good else (), expected, strict=False):
        y = instance.get("y")
        good = good and y is not None and y.dtype == np.float32
        good = good and np.array_equal(y, np.full((2, 2), number, np.float32))
    if not good:
        sys.exit(f"wrong answer: {result}")


def run_add_common():
    """Three instances of float32."""
    client = Client(ADDRESS, "tensor_add", "add_common")
    instances = []
    for number in (1, 2, 3):
        x = np.full((2, 2), number, np.float32)
        instances.append({"x1": x, "x2": x})
    result = client.infer(instances)
    print("add_common:", result)
    check(result, (2, 4, 6))


def run_add_cast():
    """One instance of int32, cast by a Python stage."""
    client = Client(ADDRESS, "tensor_add", "add_cast")
    x = np.ones((2, 2), np.int32)
    result = client.infer({"x1": x, "x2": x})
    print("add_cast:", result)
    check(result, (2,))


if __name__ == "__main__":
    run_add_common()
    run_add_cast()
