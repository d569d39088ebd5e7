"""Adds and subtracts through the front door: ``serving_client.py [ADDRESS]``."""

import sys

import numpy as np

from mindspore_serving.client import Client

ADDRESS = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:5500"


def run(method, expected):
    """Call ``method`` with one instance and stop with a text unless it answers as expected."""
    client = Client(ADDRESS, "add_sub_pipeline", method)
    instance = {
        "x1": np.array([[30, 30], [20, 20]], np.float32),
        "x2": np.full((2, 2), 20, np.float32),
        "x3": np.full((2, 2), 10, np.float32),
    }
    result = client.infer(instance)
    print(f"{method}:", result)
    if not isinstance(result, list) or "y" not in result[0]:
        sys.exit(f"wrong answer: {result}")
    if not np.allclose(result[0]["y"], expected, rtol=0, atol=1e-4):
        sys.exit(f"wrong answer: {result}")


if __name__ == "__main__":
    run("add_sub_only_model", [[40, 40], [30, 30]])
    run("add_sub_complex", [[42, 42], [32, 32]])
