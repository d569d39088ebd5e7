"""``bentoml serve bentoml_server:Bench``: JSON in, JSON out."""

import bentoml
import numpy as np
from bench_json import read, write
from bench_model import WORK, after, before, run

LOGS = {"access": {"enabled": False}}

if WORK["max_batch"] and not WORK["is_large"]:

    @bentoml.service(workers=1, logging=LOGS)
    class Bench:
        """Rows of several requests a call."""

        @bentoml.api(batchable=True, max_batch_size=WORK["max_batch"], max_latency_ms=10_000)
        def predict(self, x: np.ndarray) -> np.ndarray:
            return run(x.astype(np.float32))

elif WORK["is_large"]:

    @bentoml.service(workers=1, logging=LOGS)
    class Bench:
        """One packed request a call."""

        @bentoml.api
        def predict(self, x: str) -> dict:
            return write(run(read({"x": x})))

elif WORK["staged"]:

    @bentoml.service(workers=1, logging=LOGS)
    class Before:
        """The stage before the model."""

        @bentoml.api
        def apply(self, x: np.ndarray) -> np.ndarray:
            return before(x)

    @bentoml.service(workers=1, logging=LOGS)
    class Model:
        """The model."""

        @bentoml.api
        def apply(self, x: np.ndarray) -> np.ndarray:
            return run(x)

    @bentoml.service(workers=1, logging=LOGS)
    class Bench:
        """What hands a request from stage to stage; the last one is its own."""

        before = bentoml.depends(Before)
        model = bentoml.depends(Model)

        @bentoml.api
        async def predict(self, x: list[list[float]]) -> dict:
            rows = await self.before.to_async.apply(read({"x": x}))
            return write(after(await self.model.to_async.apply(rows)))

else:

    @bentoml.service(workers=1, logging=LOGS)
    class Bench:
        """One request a call."""

        @bentoml.api
        def predict(self, x: list[list[float]]) -> dict:
            return write(run(read({"x": x})))
