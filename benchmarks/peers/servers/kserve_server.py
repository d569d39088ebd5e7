"""``python kserve_server.py PORT``: the Open Inference Protocol over gRPC."""

import socket
import sys

import numpy as np
from bench_model import after, before, run
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


class Bench(Model):
    """The model as KServe wants it."""

    def __init__(self) -> None:
        super().__init__("bench")
        self.ready = True

    async def preprocess(self, payload: InferRequest, *_: object, **__: object) -> np.ndarray:
        return before(payload.inputs[0].as_numpy())

    async def predict(self, payload: np.ndarray, *_: object, **__: object) -> np.ndarray:
        return run(payload)

    async def postprocess(self, result: np.ndarray, *_: object, **__: object) -> InferResponse:
        rows = np.ascontiguousarray(after(result))
        output = InferOutput("y", list(rows.shape), "FP32")
        output.set_data_from_numpy(rows, binary_data=True)
        return InferResponse("", self.name, [output], use_binary_outputs=True)


if __name__ == "__main__":
    with socket.socket() as probe:  # REST wants a port too
        probe.bind(("127.0.0.1", 0))
        rest = probe.getsockname()[1]
    server = ModelServer(
        http_port=rest, grpc_port=int(sys.argv[1]), workers=1, enable_latency_logging=False
    )
    server.start([Bench()])
