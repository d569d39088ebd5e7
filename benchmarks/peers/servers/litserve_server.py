"""``python litserve_server.py PORT``: JSON in, JSON out."""

import sys

import litserve as ls
import numpy as np
from bench_json import read, write
from bench_model import WORK, after, before, run, run_batch


class Single(ls.LitAPI):
    """One request a call."""

    def setup(self, device: str) -> None:
        pass

    def decode_request(self, request: dict) -> np.ndarray:
        return before(read(request))

    def predict(self, x: np.ndarray) -> np.ndarray:
        return run(x)

    def encode_response(self, output: np.ndarray) -> dict:
        return write(after(output))


class Batched(Single):
    """A list of requests a call."""

    def batch(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        return inputs

    def predict(self, x: list[np.ndarray]) -> list[np.ndarray]:
        return run_batch(x)

    def unbatch(self, output: list[np.ndarray]) -> list[np.ndarray]:
        return output


if __name__ == "__main__":
    if WORK["max_batch"]:
        api = Batched(max_batch_size=WORK["max_batch"], batch_timeout=0.002)
    else:
        api = Single()
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False,
               log_level="warning", access_log=False)  # fmt: skip
