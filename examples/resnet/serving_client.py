"""Classifies the photographs of test_image, by every method of resnet50."""

import argparse
import base64
import sys
from pathlib import Path

import requests

from mindspore_serving.client import Client

FOLDER = Path(__file__).resolve().parent / "test_image"


def read_images():
    """Names and contents of the images."""
    files = sorted(FOLDER.glob("*.jpg"))
    if not files:
        sys.exit("test_image is empty: run export_model/export_resnet.py")
    return [f"test_image/{file.name}" for file in files], [file.read_bytes() for file in files]


def show_top1(names, result):
    if not isinstance(result, list):
        sys.exit(f"no answer: {result}")
    for name, item in zip(names, result, strict=True):
        print(f"{name}, label: {item['label']}")


def show_top5(names, result):
    if not isinstance(result, list):
        sys.exit(f"no answer: {result}")
    for name, item in zip(names, result, strict=True):
        print("file:", name)
        print("label result:", item["label"])
        print("score result:", item["score"])


def run_classify_top1(address, method):
    print(f"--------------run_{method}----------")
    names, images = read_images()
    client = Client(address, "resnet50", method)
    show_top1(names, client.infer([{"image": image} for image in images]))


def run_classify_top5(address):
    print("--------------run_classify_top5-----------")
    names, images = read_images()
    client = Client(address, "resnet50", "classify_top5")
    show_top5(names, client.infer([{"image": image} for image in images]))


def run_classify_top5_async(address):
    print("--------------run_classify_top5_async-----------")
    names, images = read_images()
    client = Client(address, "resnet50", "classify_top5")
    future = client.infer_async([{"image": image} for image in images])
    show_top5(names, future.result())


def run_restful_classify_top1(address):
    print("--------------run_restful_classify_top1-----------")
    names, images = read_images()
    instances = [{"image": {"b64": base64.b64encode(image).decode()}} for image in images]
    reply = requests.post(
        f"http://{address}/model/resnet50:classify_top1", json={"instances": instances}, timeout=60
    )
    show_top1(names, reply.json().get("instances", reply.text))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grpc", default="127.0.0.1:5500", metavar="HOST:PORT")
    parser.add_argument("--rest", default="127.0.0.1:1500", metavar="HOST:PORT")
    addresses = parser.parse_args()
    for method in ("", "_batch", "_v2", "_v3"):
        run_classify_top1(addresses.grpc, f"classify_top1{method}")
    run_classify_top5(addresses.grpc)
    run_restful_classify_top1(addresses.rest)
    run_classify_top5_async(addresses.grpc)
