"""Classifies the held-out digits of test_image: gRPC, gRPC without waiting, REST."""

import argparse
import base64
import sys
from pathlib import Path

import requests

from mindspore_serving.client import Client

FOLDER = Path(__file__).resolve().parent / "test_image"


def read_images():
    """Names and contents of the images; the name says what is on it."""
    files = sorted(FOLDER.glob("*.png"))
    if not files:
        sys.exit("test_image is empty: run export_model/export_lenet.py")
    return [file.name for file in files], [file.read_bytes() for file in files]


def show(names, result):
    """Print the first answer for each digit, and how many of all are right."""
    if not isinstance(result, list):
        sys.exit(f"no answer: {result}")
    labels = [int(item["label"]) for item in result]
    for name, label in zip(names, labels, strict=True):
        if name.endswith("-1.png"):
            print(f"file: test_image/{name}, result: {label}")
    right = sum(name.startswith(f"{label}-") for name, label in zip(names, labels, strict=True))
    print(f"right: {right} of {len(names)}, {right / len(names):.1%}")


def run_classify_top1(address):
    """All images in one request."""
    print("run_classify_top1-----------")
    names, images = read_images()
    client = Client(address, "lenet", "classify_top1")
    show(names, client.infer([{"image": image} for image in images]))


def run_classify_top1_async(address):
    """An image a request, all on their way before the first answer is looked at."""
    print("run_classify_top1_async-----------")
    names, images = read_images()
    client = Client(address, "lenet", "classify_top1")
    futures = [client.infer_async({"image": image}) for image in images]
    show(names, [future.result()[0] for future in futures])


def run_restful_classify_top1(address):
    """All images in one body, base64."""
    print("run_restful_classify_top1-----------")
    names, images = read_images()
    instances = [{"image": {"b64": base64.b64encode(image).decode()}} for image in images]
    reply = requests.post(
        f"http://{address}/model/lenet:classify_top1", json={"instances": instances}, timeout=60
    )
    show(names, reply.json().get("instances", reply.text))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grpc", default="127.0.0.1:5500", metavar="HOST:PORT")
    parser.add_argument("--rest", default="127.0.0.1:1500", metavar="HOST:PORT")
    addresses = parser.parse_args()
    run_classify_top1(addresses.grpc)
    run_classify_top1_async(addresses.grpc)
    run_restful_classify_top1(addresses.rest)
