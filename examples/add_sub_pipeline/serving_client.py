"""Adds and subtracts through the front door; stops with a text when an answer is wrong."""

import argparse
import sys

import numpy as np

from mindspore_serving.client import Client


def run(address, method, expected):
    """Call ``method`` with one instance and stop with a text unless it answers as expected."""
    client = Client(address, "add_sub", method)
    instance = {
        "x1": np.array([[30, 30], [20, 20]], np.float32),
        "x2": np.full((2, 2), 20, np.float32),
        "x3": np.full((2, 2), 10, np.float32),
    }
    result = client.infer(instance)
    print(result)
    if not isinstance(result, list) or "y" not in result[0]:
        sys.exit(f"wrong answer: {result}")
    if not np.allclose(result[0]["y"], expected, rtol=0, atol=1e-4):
        sys.exit(f"wrong answer: {result}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grpc", default="127.0.0.1:5500", metavar="HOST:PORT")
    address = parser.parse_args().grpc
    run(address, "add_sub_only_model", [[40, 40], [30, 30]])
    run(address, "add_sub_complex", [[42, 42], [32, 32]])
