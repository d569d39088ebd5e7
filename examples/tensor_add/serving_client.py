"""Adds tensors, by gRPC and by REST; stops with a text when an answer is wrong."""

import argparse
import json
import sys

import numpy as np
import requests

from mindspore_serving.client import Client


def check(result, expected):
    """Stop with a text unless every y is close to the one expected."""
    good = isinstance(result, list) and len(result) == len(expected)
    for instance, y in zip(result if good else (), expected, strict=False):
        good = good and np.shape(instance.get("y")) == y.shape
        good = good and np.allclose(instance["y"], y, rtol=0, atol=1e-5)
    if not good:
        sys.exit(f"wrong answer: {result}")


def run_add_common(address):
    """Three instances of float32."""
    client = Client(address, "tensor_add", "add_common")
    instances = []
    for number in (1, 2, 3):
        x = np.full((2, 2), number, np.float32)
        instances.append({"x1": x, "x2": x})
    result = client.infer(instances)
    print(result)
    check(result, [instance["x1"] + instance["x2"] for instance in instances])


def run_add_cast(address):
    """One instance of int32, cast by a Python stage."""
    client = Client(address, "tensor_add", "add_cast")
    x = np.ones((2, 2), np.int32)
    result = client.infer({"x1": x, "x2": x})
    print(result)
    check(result, [np.full((2, 2), 2, np.float32)])


def run_add_restful(address):
    """One instance in JSON."""
    x1, x2 = [[1.1, 2.2], [3.3, 4.4]], [[5.5, 6.6], [7.7, 8.8]]
    payload = json.dumps({"instances": [{"x1": x1, "x2": x2}]})
    print("request:", payload)
    reply = requests.post(f"http://{address}/model/tensor_add:add_common", data=payload, timeout=60)
    print("result:", reply.text)
    check(reply.json().get("instances"), [np.add(x1, x2)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grpc", default="127.0.0.1:5500", metavar="HOST:PORT")
    parser.add_argument("--rest", default="127.0.0.1:1500", metavar="HOST:PORT")
    addresses = parser.parse_args()
    run_add_common(addresses.grpc)
    run_add_cast(addresses.grpc)
    run_add_restful(addresses.rest)
