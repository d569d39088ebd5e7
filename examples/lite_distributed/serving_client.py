"""Calls matmul with ones, and prints of each output what the document's script prints."""

import argparse
import sys

import numpy as np

from mindspore_serving.client import Client


def run_matmul(address):
    client = Client(address, "matmul", "predict")
    result = client.infer({"x": np.ones((128, 96), np.float32)})
    if not isinstance(result, list):
        sys.exit(f"failed: {result}")
    for name, data in result[0].items():
        if isinstance(data, str):
            sys.exit(f"failed: {data}")
        print(
            f"tensor's name is:{name} data size is:{data.nbytes} tensor elements num is:{data.size}"
        )
        print("output data is:", *data.flatten()[:10])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grpc", default="127.0.0.1:5500", metavar="HOST:PORT")
    run_matmul(parser.parse_args().grpc)
