"""``bentoml serve bentoml_server:Bench``: JSON in, JSON out."""

import bentoml
import numpy as np
from bench_json import read, write
from bench_model import WORK, run

LOGS = {"access": {"enabled": False}}

if WORK["max_batch"]:

    @bentoml.service(workers=1, logging=LOGS)
    class Bench:
        """Rows of several requests a call."""

        @bentoml.api(batchable=True, max_batch_size=WORK["max_batch"], max_latency_ms=10_000)
        def predict(self, x: np.ndarray) -> np.ndarray:
            return run(x.astype(np.float32))

elif WORK["key"] == "b":

    @bentoml.service(workers=1, logging=LOGS)
    class Bench:
        """One packed request a call."""

        @bentoml.api
        def predict(self, x: str) -> dict:
            return write(run(read({"x": x})))

else:

    @bentoml.service(workers=1, logging=LOGS)
    class Bench:
        """One request a call."""

        @bentoml.api
        def predict(self, x: list[list[float]]) -> dict:
            return write(run(read({"x": x})))
