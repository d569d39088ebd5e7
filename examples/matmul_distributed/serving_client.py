"""Calls the distributed model; stops with a text when the answer is wrong."""

import argparse
import sys

import numpy as np

from mindspore_serving.client import Client


def run_matmul(address):
    """One instance of ones: each y is -(96 * 0.5)."""
    client = Client(address, "matmul", "predict")
    instance = {"x": np.ones((128, 96), np.float32)}
    result = client.infer(instance)
    print("result:\n", result)
    expected = np.full((128, 16), -48, np.float32)
    if not isinstance(result, list) or not np.array_equal(result[0].get("y"), expected):
        sys.exit("wrong answer")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grpc", default="127.0.0.1:5500", metavar="HOST:PORT")
    run_matmul(parser.parse_args().grpc)
