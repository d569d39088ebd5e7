"""Has beginnings of lines continued: one by one, together, and by REST."""

import argparse
import sys

import requests

from mindspore_serving.client import Client

PROMPTS = ("Beautiful is", "Errors should", "In the face of", "Namespaces are")
LENGTH = 80


def show(result):
    if not isinstance(result, list):
        sys.exit(f"no answer: {result}")
    for prompt, item in zip(PROMPTS, result, strict=True):
        print(f"prompt: {prompt}, text: {item['text']}")


def run(address, method):
    print(f"run_{method}-----------")
    client = Client(address, "zen", method)
    show(client.infer([{"prompt": prompt, "max_length": LENGTH} for prompt in PROMPTS]))


def run_restful_generate(address):
    print("run_restful_generate-----------")
    instances = [{"prompt": prompt, "max_length": LENGTH} for prompt in PROMPTS]
    reply = requests.post(
        f"http://{address}/model/zen:generate", json={"instances": instances}, timeout=60
    )
    show(reply.json().get("instances", reply.text))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grpc", default="127.0.0.1:5500", metavar="HOST:PORT")
    parser.add_argument("--rest", default="127.0.0.1:1500", metavar="HOST:PORT")
    addresses = parser.parse_args()
    run(addresses.grpc, "generate")
    run(addresses.grpc, "generate_batch")
    run_restful_generate(addresses.rest)
